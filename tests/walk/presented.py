"""*Token text*: every form in which credentials come, and what else comes in their place."""

import base64
import re
import string

from harness import later, rule
from text import Forge, basic, parts

PRINTABLE = "x7#" * 200


def header(w, text):
    return w.op.ValidateCredentials(authorization=text)


@rule("`kw_<environment>_<id><secret><check>` … the last 71 characters are id (22), secret (43) and check (6), all base62.")
def shape(w):
    account = w.account()
    texts = [w.token(account).secret for _ in range(20)]
    pattern = re.compile(rf"kw_{re.escape(w.environment)}_[0-9A-Za-z]{{71}}")
    w.check("20 texts look like that", all(pattern.fullmatch(text) for text in texts), "one does not")
    w.equal("20 ids, 20 secrets", (len({parts(t)[1] for t in texts}), len({parts(t)[2] for t in texts})), (20, 20))
    seen = set("".join(parts(text)[1] + parts(text)[2] for text in texts))
    w.check("all 62 characters are in use", seen == set(string.ascii_letters + string.digits), sorted(seen))
    w.check("the check is the CRC-32 of all before it", all(Forge(text).works for text in texts), texts[0][-6:])


@rule("Presented: `Bearer <text>`, `Basic base64(<token id>:<text>)`, the bare text, id and text apart")
def forms(w):
    token = w.token(w.account())
    for scheme in ("Bearer", "bearer", "BEARER", "bEaReR"):
        w.allowed(scheme, header(w, f"{scheme} {token.secret}"))
    encoded = base64.b64encode(f"{token.id}:{token.secret}".encode()).decode()
    for scheme in ("Basic", "basic", "BASIC"):
        w.allowed(scheme, header(w, f"{scheme} {encoded}"))
    w.allowed("the text alone in the header", header(w, token.secret))
    w.allowed("the bare text", w.op.ValidateCredentials(token=token.secret))
    w.allowed("id and text apart", w.op.ValidateCredentials(id_and_secret={"token_id": token.id, "secret": token.secret}))


@rule("each with or without the account key.")
def with_key(w):
    account, key = w.account("integration-tokens", key=True)
    user = w.api_user(account)
    token = w.token(account, principal_id=user, expire_time=later(days=1))
    for name, given in {
        "Bearer": {"authorization": f"Bearer {token.secret}"},
        "Basic": {"authorization": token.basic},
        "bare": {"token": token.secret},
        "apart": {"id_and_secret": {"token_id": token.id, "secret": token.secret}},
    }.items():
        w.allowed(f"{name} with it", w.op.ValidateCredentials(**given, account_key=key))
        w.denied(f"{name} without it", w.op.ValidateCredentials(**given), "ACCOUNT_KEY_MISMATCH")


@rule("In Basic and id-and-text the id must be the text's own, else UNKNOWN.")
def own_id(w):
    account = w.account()
    token, other = w.token(account), w.token(account)
    w.denied("Basic with another's id", header(w, basic(other.id, token.secret)), "UNKNOWN")
    w.denied("Basic with no id", header(w, basic("", token.secret)), "UNKNOWN")
    w.denied("Basic with a name", header(w, basic("user", token.secret)), "UNKNOWN")
    apart = lambda token_id: w.op.ValidateCredentials(id_and_secret={"token_id": token_id, "secret": token.secret})
    w.denied("apart with another's id", apart(other.id), "UNKNOWN")
    w.denied("apart with none", apart(""), "UNKNOWN")
    w.denied("apart with the id twice", apart(token.id * 2), "UNKNOWN")


@rule("A header with another scheme is MALFORMED; nothing at all is MISSING.")
def headers(w):
    token = w.token(w.account())
    for text in ("Digest abc", f"Token {token.secret}", "Negotiate YII=", f"Bearers {token.secret}", "ApiKey x", f"Bearer: {token.secret}"):
        w.denied(repr(text[:12]), header(w, text), "MALFORMED")
    for wrong in ("Basic !!!", "Basic abc", "Basic " + base64.b64encode(b"no colon").decode(), "Basic " + base64.b64encode(b"\xff\xfe:x").decode()):
        w.denied(repr(wrong[:20]), header(w, wrong), "MALFORMED")
    w.denied("nothing", w.op.ValidateCredentials(), "MISSING")
    w.denied("an empty header", header(w, ""), "MISSING")
    w.denied("an empty text", w.op.ValidateCredentials(token=""), "MISSING")
    w.denied("an empty pair", w.op.ValidateCredentials(id_and_secret={}), "MISSING")
    for scheme in ("Bearer", "Bearer ", "Basic", "Basic "):
        w.denied(f"{scheme!r} alone", header(w, scheme), "MISSING|MALFORMED")


@rule("Text that begins `kw_` is MALFORMED, then WRONG_ENVIRONMENT, then looked up.")
def ours(w):
    token = w.token(w.account())
    prefix, token_id, secret, check = parts(token.secret)
    forge = Forge(token.secret)
    show = lambda text: w.op.ValidateCredentials(token=text)
    swapped = token.secret[:-20] + token.secret[-19] + token.secret[-20] + token.secret[-18:]
    wrong = {
        "kw_ alone": "kw_", "truncated": token.secret[:-1], "one more": token.secret + "0", "half": token.secret[:40],
        "a checksum off": token.secret[:-1] + ("a" if token.secret[-1] != "a" else "b"),
        "two characters swapped": swapped if swapped != token.secret else token.secret[:-1],
        "the id mistyped": f"{prefix}{token_id[:-1]}{'a' if token_id[-1] != 'a' else 'b'}{secret}{check}",
        "another environment without its checksum": token.secret.replace(prefix, "kw_elsewhere_"),
        "not base62": f"{prefix}{token_id}{secret[:-1]}-{check}", "a space in it": token.secret[:30] + " " + token.secret[31:],
        "a space after it": token.secret + " ", "unprintable": "kw_\x00" + "a" * 70, "not ASCII": "kw_ü_" + "a" * 71,
        "very long": "kw_" + "a" * 2000,
    }
    for name, text in wrong.items():
        w.denied(name, show(text), "MALFORMED")
    w.denied("a bad environment with a good checksum", show(forge.text("kw_UPPER_", token_id, secret)), "MALFORMED")
    w.denied("an environment of 33 characters", show(forge.text(f"kw_{'e' * 33}_", token_id, secret)), "MALFORMED")
    w.denied("another environment", show(forge.text("kw_elsewhere_", token_id, secret)), "WRONG_ENVIRONMENT")
    w.denied("  with an unknown id", show(forge.text("kw_elsewhere_", "0" * 22, secret)), "WRONG_ENVIRONMENT")
    w.denied("an unknown id", show(forge.text(prefix, "0" * 22, secret)), "UNKNOWN")
    w.denied("a wrong secret", show(forge.text(prefix, token_id, "0" * 43)), "UNKNOWN")
    w.check("the forge makes the real one", forge.text(prefix, token_id, secret) == token.secret, "it does not")


@rule("Any other printable text up to 512 bytes is looked up among imported tokens, else UNKNOWN.")
def others(w):
    for name, text in {"a word": "secret", "511": PRINTABLE[:511], "512": PRINTABLE[:512], "KW_": "KW_dev_abc", "kw-": "kw-dev"}.items():
        w.denied(name, w.op.ValidateCredentials(token=text), "UNKNOWN")
        w.denied(f"{name}, as Bearer", header(w, f"Bearer {text}"), "UNKNOWN")
    for name, text in {"513": PRINTABLE[:513], "60,000": "x" * 60_000, "a control character": "a\x01b", "a newline": "a\nb"}.items():
        w.denied(name, w.op.ValidateCredentials(token=text), "MALFORMED")


@rule("A denial tells a guesser nothing: same answer … for an unknown token and a wrong secret (promise 5). Until the secret has matched, the only ones given are MISSING, MALFORMED, WRONG_ENVIRONMENT and UNKNOWN")
def tells_nothing(w):
    account, key = w.account(key=True)
    token = w.token(account, grants=["a"], allowed_networks=["10.0.0.0/8"])
    prefix, token_id, secret, _ = parts(token.secret)
    forge = Forge(token.secret)
    w.need(w.op.DeactivateToken(token_id=token.id))
    w.disable(account)

    def plain(reply):
        message = type(reply.message)()
        message.CopyFrom(reply.message)
        message.revision = 0
        return message

    for more in ({}, {"dry_run": True}, {"account_key": "wrong"}, {"required": {"resource": "b"}}, {"account_id": account}, {"with_grants": True}):
        unknown = w.op.ValidateCredentials(token=forge.text(prefix, "z" * 22, secret), **more)
        wrong = w.op.ValidateCredentials(token=forge.text(prefix, token_id, "z" * 43), **more)
        w.denied(f"an unknown id, {more or 'plain'}", unknown, "UNKNOWN")
        w.equal("  a wrong secret: the same answer", plain(wrong), plain(unknown))
    told = [field.name for field, _ in wrong.message.ListFields()]
    w.check("nothing about the token in it", set(told) <= {"decision", "reason", "detail", "revision"}, told)
    foreign_id = w.op.ValidateCredentials(authorization=basic("z" * 22, token.secret))
    w.equal("a wrong id beside a good secret: the same", plain(foreign_id), plain(w.op.ValidateCredentials(token=forge.text(prefix, "z" * 22, secret))))


@rule("a match is never throttled; a throttled miss answers UNKNOWN, in the same shape")
def guessing(w):
    token = w.token(w.account())
    prefix, token_id, _, _ = parts(token.secret)
    forge = Forge(token.secret)
    guesses = [
        w.op.start("ValidateCredentials", token=forge.text(prefix, token_id, f"{n:043d}"), client_address="192.0.2.9") for n in range(300)
    ]
    w.equal("300 guesses at one token", {call().verdict for call in guesses}, {"UNKNOWN"})
    w.allowed("the right one, from the same address", w.validate(token.secret, client_address="192.0.2.9"))
