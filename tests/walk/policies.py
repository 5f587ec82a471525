"""*Fine print*, Policy, and the table of presets."""

from harness import later, rule, span

TABLE = {
    # preset: max_tokens, rekey_grace in hours, principal_rule, account key, expiry, frozen
    "integration-tokens": (100, 0, "ENFORCED", True, True, True),
    "access-keys": (None, 4, "ATTRIBUTION", False, False, False),
    "application-keys": (3, 0, "NONE", False, False, False),
    "standard": (None, 4, "NONE", False, False, False),
}


def read(w, account):
    policy = w.need(w.op.GetAccount(account_id=account)).account.policy
    return (
        policy.max_tokens if policy.HasField("max_tokens") else None,
        policy.rekey_grace.seconds / 3600,
        w.server.enum("keyward.v1.PrincipalRule", policy.principal_rule).removeprefix("PRINCIPAL_RULE_"),
        policy.require_account_key,
        policy.require_expiry,
        policy.freeze_tokens,
    )


def change(w, account, *mask, **policy):
    paths = [f"policy.{name}" for name in mask or policy]
    return w.op.UpdateAccount(account={"id": account, "policy": policy}, update_mask=paths)


@rule("| preset | max_tokens | … | rekey_grace | principal_rule | account key | expiry | frozen |")
def presets(w):
    for preset, row in TABLE.items():
        w.equal(preset, read(w, w.account(preset)), row)
    w.equal("Neither preset nor policy given: `standard`.", read(w, w.account()), TABLE["standard"])
    own = w.account(policy={"max_tokens": 7, "rekey_grace": span(hours=1), "require_expiry": True})
    w.equal("one's own", read(w, own), (7, 1, "NONE", False, True, False))
    bare = w.account(policy={"require_expiry": True})
    w.equal("one's own, what is left out", read(w, bare), (TABLE["standard"][0], 0, "NONE", False, True, False))


@rule("principal_rule is fixed once a token exists.")
def fixed(w):
    account = w.account()
    w.ok("before", change(w, account, principal_rule="PRINCIPAL_RULE_ATTRIBUTION"))
    w.ok("and back", change(w, account, principal_rule="PRINCIPAL_RULE_NONE"))
    token = w.token(account)
    refused = change(w, account, principal_rule="PRINCIPAL_RULE_ENFORCED")
    w.refused("after", refused, "FAILED_PRECONDITION", "POLICY_FIXED")
    w.check("  with PreconditionFailure", "PreconditionFailure" in refused.details, refused)
    whole = w.op.UpdateAccount(account={"id": account, "policy": {"principal_rule": "PRINCIPAL_RULE_ENFORCED"}}, update_mask=["policy"])
    w.refused("by the whole policy, too", whole, "FAILED_PRECONDITION", "POLICY_FIXED")
    w.ok("the same again is no change", change(w, account, principal_rule="PRINCIPAL_RULE_NONE"))
    w.ok("other values may change", change(w, account, max_tokens=9))
    w.need(w.op.DeactivateToken(token_id=token.id))
    w.need(w.op.DeleteToken(token_id=token.id))
    w.ok("no token any more", change(w, account, principal_rule="PRINCIPAL_RULE_ENFORCED"))


@rule("issue for a principal that is not an active API user … also by UpdateToken")
def api_users_only(w):
    account = w.account(policy={"principal_rule": "PRINCIPAL_RULE_ENFORCED"})
    token = w.token(account, principal_id=w.api_user(account))
    w.ok("another API user", w.set_token(token, principal_id=w.api_user(account)))
    plain = w.principal(account)
    w.refused("one that is none", w.set_token(token, principal_id=plain), "FAILED_PRECONDITION", "PRINCIPAL_NOT_API_USER")
    w.invalid("none at all", w.set_token(token, principal_id=""), "principal_id")


@rule("Lower limits bar new tokens only;")
def lower_limits(w):
    account = w.account()
    tokens = [w.token(account) for _ in range(3)]
    w.ok("max_tokens 2 with three there", change(w, account, max_tokens=2))
    for token in tokens:
        w.allowed("one that is there", w.validate(token.secret))
    w.ok("  it can be rekeyed", w.op.Rekey(token_id=tokens[0].id))
    w.refused("a new one", w.op.CreateToken(account_id=account, name="n"), "RESOURCE_EXHAUSTED", "TOKEN_LIMIT")
    w.ok("the limit cleared", change(w, account, "max_tokens"))
    w.ok("a new one", w.op.CreateToken(account_id=account, name="n"))


@rule("require_expiry and max_lifetime bind at creation.")
def lifetimes(w):
    account = w.account(policy={"max_lifetime": span(days=10)})
    create = lambda **request: w.op.CreateToken(account_id=account, name="n", **request)
    w.ok("just within", create(ttl=span(days=10) - span(seconds=5)))
    w.ok("exactly", create(ttl=span(days=10)))
    w.invalid("beyond, by ttl", create(ttl=span(days=10, seconds=5)), "ttl|expir|max_lifetime")
    w.invalid("beyond, by expire_time", create(expire_time=later(days=11)), "expir|max_lifetime")
    w.invalid("beyond, by expire_date", create(expire_date=later(days=12).date().isoformat()), "expir|max_lifetime")
    w.invalid("none at all", create(), "expir|max_lifetime")
    loose = w.account()
    token = w.token(loose)
    w.need(change(w, loose, require_expiry=True))
    w.allowed("one made before lives on", w.validate(token.secret))
    w.invalid("a new one needs an end", w.op.CreateToken(account_id=loose, name="n"), "expir")


@rule("100 parallel creates at the limit minus one: exactly one succeeds")
def race(w):
    account = w.account(policy={"max_tokens": 5})
    for _ in range(4):
        w.token(account)
    replies = [call() for call in [w.op.start("CreateToken", account_id=account, name=f"racer {n}") for n in range(100)]]
    w.equal("made", sum(reply.ok for reply in replies), 1)
    w.equal("refused for the limit", sum(reply.error_reason == "TOKEN_LIMIT" for reply in replies), 99)
    w.equal("tokens there", len(w.listed(w.op.ListTokens, "tokens", account_id=account)), 5)
    w.equal("events of it", w.event_types(account).count("TOKEN_CREATED"), 5)


@rule("require_account_key: a token is good only beside the account's key … what a policy says is live")
def account_keys(w):
    account, key = w.account(key=True)
    token = w.token(account)
    w.allowed("not required: none", w.validate(token.secret))
    w.allowed("not required: the right one", w.validate(token.secret, account_key=key))
    w.denied("A wrong account key is a mismatch even where none is required.", w.validate(token.secret, account_key="wrong"), "ACCOUNT_KEY_MISMATCH")
    w.need(change(w, account, require_account_key=True))
    w.denied("required from now on: none", w.validate(token.secret), "ACCOUNT_KEY_MISMATCH")
    w.allowed("required: the right one", w.validate(token.secret, account_key=key))
    keyless = w.account()
    plain = w.token(keyless)
    w.denied("a key where the account has none", w.validate(plain.secret, account_key=key), "ACCOUNT_KEY_MISMATCH")


@rule("policy.max_tokens, policy.rekey_grace and so on, one by one")
def one_by_one(w):
    account = w.account("integration-tokens")
    w.ok("one value", change(w, account, max_tokens=50))
    w.equal("the others stay", read(w, account), (50, *TABLE["integration-tokens"][1:]))
    w.ok("another", change(w, account, rekey_grace=span(hours=2)))
    w.equal("both hold", read(w, account), (50, 2, *TABLE["integration-tokens"][2:]))
    w.ok("a flag off", change(w, account, "freeze_tokens"))
    w.equal("it is off", read(w, account)[-1], False)
