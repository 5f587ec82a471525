"""Imported tokens: keys issued elsewhere, taken over by their digest."""

import hashlib

from harness import later, rule, span
from operators import ALL
from text import basic


def bring(w, account, text, **more):
    w.secrets.append(text)
    request = {"token": {"account_id": account, "name": "An old key", **more.pop("token", {})}}
    return w.op.ImportToken(**request, sha256=hashlib.sha256(text.encode()).digest(), hint=text[-4:], **more)


def foreign(w):
    return f"OLD-{w.unique('key')}-{'x7' * 12}"


@rule("found within the account that the request names or the caller is bound to.")
def found(w):
    account, other, text = w.account(), w.account(), foreign(w)
    token = w.need(bring(w, account, text)).token
    w.equal("it says that it came", token.imported, True)
    w.allowed("the account named", w.validate(text, account_id=account))
    w.equal("  it is that token", w.validate(text, account_id=account).token_id, token.id)
    w.allowed("the bare text", w.op.ValidateCredentials(token=text, account_id=account))
    w.denied("another account named", w.validate(text, account_id=other), "UNKNOWN")
    w.denied("none named, by a caller that reaches all", w.validate(text), "UNKNOWN")
    _, bound = w.operator(*ALL, scope=account)
    w.allowed("none named, by a caller bound to it", bound.ValidateCredentials(token=text))
    _, elsewhere = w.operator(*ALL, scope=other)
    w.denied("by a caller bound to another", elsewhere.ValidateCredentials(token=text), "UNKNOWN")
    w.denied("  that names it", elsewhere.ValidateCredentials(token=text, account_id=account), "UNKNOWN")
    w.denied("another text", w.validate(text + "x", account_id=account), "UNKNOWN")


@rule("unique in its account;")
def unique(w):
    account, text = w.account(), foreign(w)
    first = w.need(bring(w, account, text)).token
    w.refused("a second time", bring(w, account, text), "ALREADY_EXISTS", "ALREADY_EXISTS")
    w.ok("in another account", bring(w, w.account(), text))
    replies = [call() for call in [w.op.start("ImportToken", token={"account_id": account, "name": "n"}, sha256=b"q" * 32) for _ in range(10)]]
    w.equal("ten at once: one", sum(reply.ok for reply in replies), 1)
    w.need(w.op.DeactivateToken(token_id=first.id))
    w.need(w.op.DeleteToken(token_id=first.id))
    w.denied("deleted", w.validate(text, account_id=account), "UNKNOWN")
    w.ok("it can come again", bring(w, account, text))


@rule("Basic with its user name (foreign_id), where it has one")
def basic_user(w):
    account, text = w.account(), foreign(w)
    w.need(bring(w, account, text, foreign_id="legacy-user"))
    ask = lambda authorization: w.op.ValidateCredentials(authorization=authorization, account_id=account)
    w.allowed("with it", ask(basic("legacy-user", text)))
    w.denied("with another", ask(basic("somebody", text)), "UNKNOWN")
    apart = lambda user: w.op.ValidateCredentials(id_and_secret={"token_id": user, "secret": text}, account_id=account)
    w.allowed("apart", apart("legacy-user"))
    w.denied("apart with another", apart("somebody"), "UNKNOWN")
    w.allowed("Bearer needs none", ask(f"Bearer {text}"))
    w.allowed("a text with a colon in it", _colon(w, account))


def _colon(w, account):
    text = foreign(w) + ":with:colons"
    w.need(bring(w, account, text, foreign_id="colon-user"))
    return w.op.ValidateCredentials(authorization=basic("colon-user", text), account_id=account)


@rule("Rekey of an imported token issues `kw_` text.")
def rekeyed(w):
    account, text = w.account(), foreign(w)
    token = w.need(bring(w, account, text)).token
    made = w.need(w.op.Rekey(token_id=token.id, grace=span(hours=1)))
    w.secrets.append(made.secret)
    w.check("kw_ text", made.secret.startswith(f"kw_{w.environment}_"), made.secret[:4])
    w.allowed("it works, without the account named", w.validate(made.secret))
    w.allowed("the old text in its grace", w.validate(text, account_id=account))
    w.need(w.op.CompleteRekey(token_id=token.id))
    w.denied("and after it", w.validate(text, account_id=account), "SUPERSEDED")
    w.equal("imported it stays", w.op.GetToken(token_id=token.id).token.imported, True)


@rule("(imported tokens are tokens) states, policy, limits and grants are theirs, too")
def like_others(w):
    account, text = w.account(policy={"max_tokens": 2}), foreign(w)
    token = w.need(bring(w, account, text, token={"grants": ["a"], "ttl": span(days=1)})).token
    ask = lambda **request: w.validate(text, account_id=account, **request)
    w.allowed("its grants", ask(required={"resource": "a"}))
    w.denied("no others", ask(required={"resource": "b"}), "PERMISSION_DENIED")
    w.need(w.op.DeactivateToken(token_id=token.id))
    w.denied("deactivated", ask(), "INACTIVE")
    w.token(account)
    w.refused("the limit counts it", w.op.CreateToken(account_id=account, name="n"), "RESOURCE_EXHAUSTED", "TOKEN_LIMIT")
    w.refused("the limit binds it", bring(w, account, foreign(w)), "RESOURCE_EXHAUSTED", "TOKEN_LIMIT")
    strict = w.account("integration-tokens")
    w.invalid("the policy binds it: an API user", bring(w, strict, foreign(w), token={"ttl": span(days=1)}), "principal_id")
    user = w.api_user(strict)
    w.invalid("the policy binds it: an expiry", bring(w, strict, foreign(w), token={"principal_id": user}), "expir")
    w.ok("with both", bring(w, strict, foreign(w), token={"principal_id": user, "expire_time": later(days=1)}))
