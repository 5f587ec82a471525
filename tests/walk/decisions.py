"""The order in which a validation decides, what its answers carry, and dry runs."""

from client import instant
from harness import later, rule, span

BEFORE = ["presented", "shape", "environment", "secret"]
AFTER = ["account_key", "secret_version", "expiry", "active", "principal", "account", "permission", "read_only", "address", "connections", "rate", "quota"]


@rule("In the order in which they are decided; the first that applies is the answer (DenyReason).")
def order(w):
    account = w.account(policy={"principal_rule": "PRINCIPAL_RULE_ENFORCED", "require_account_key": True})
    key = w.need(w.op.CreateAccountKey(account_id=account)).account.account_key
    user = w.api_user(account, w.role(account, "a"))
    networks = {"allowed_networks": ["10.0.0.0/8"], "access": "ACCESS_READ_ONLY", "grants": ["a"]}
    token = w.token(account, principal_id=user, **networks)
    dying = w.token(account, principal_id=user, expire_time=later(seconds=2), **networks)
    new, _ = w.rekey(token, grace=span(0))
    w.need(w.op.DeactivateToken(token_id=token.id))
    w.need(w.op.DeactivateToken(token_id=dying.id))
    w.need(w.set_principal(account, user, state="PRINCIPAL_STATE_DISABLED"))
    w.disable(account)
    asked = {"required": {"resource": "b", "action": "write"}, "client_address": "192.0.2.1"}
    ask = lambda secret, **more: w.validate(secret, **{"account_key": key, **asked, **more})

    w.denied("everything is wrong at once", ask(token.secret, account_key="wrong"), "ACCOUNT_KEY_MISMATCH")
    w.denied("but for the account key", ask(token.secret), "SUPERSEDED")
    w.wait_expired(dying)
    w.denied("but for the secret; the token has expired", ask(dying.secret), "EXPIRED")
    w.denied("but for the expiry", ask(new.secret), "INACTIVE")
    w.disable(account, False)
    w.need(w.op.ReactivateToken(token_id=token.id))
    w.disable(account)
    w.denied("reactivated", ask(new.secret), "PRINCIPAL_DISABLED")
    w.need(w.set_principal(account, user, state="PRINCIPAL_STATE_ACTIVE"))
    w.denied("the API user enabled", ask(new.secret), "ACCOUNT_DISABLED")
    w.disable(account, False)
    w.denied("the account enabled", ask(new.secret), "PERMISSION_DENIED")
    asked["required"] = {"resource": "a", "action": "write"}
    w.denied("with a permission that it has", ask(new.secret), "READ_ONLY")
    asked["required"]["action"] = "read"
    w.denied("to read", ask(new.secret), "ADDRESS_NOT_ALLOWED")
    asked["client_address"] = "10.1.2.3"
    w.allowed("from an allowed address", ask(new.secret))


@rule("ADDRESS_NOT_ALLOWED: client_address is outside the token's allowed networks")
def addresses(w):
    token = w.token(w.account(), allowed_networks=["10.1.0.0/16", "192.0.2.7", "2001:db8::/32"])
    ask = lambda address: w.validate(token.secret, client_address=address)
    for address in ("10.1.0.0", "10.1.255.255", "192.0.2.7", "2001:db8::1", "2001:db8:ffff::"):
        w.allowed(address, ask(address))
    for address in ("10.2.0.0", "10.0.255.255", "192.0.2.8", "192.0.2.6", "2001:db9::1", "::1", "127.0.0.1"):
        w.denied(address, ask(address), "ADDRESS_NOT_ALLOWED")
    w.denied("none given", w.validate(token.secret), "ADDRESS_NOT_ALLOWED")
    w.allowed("an IPv4 address written as IPv6", ask("::ffff:10.1.2.3"))
    w.need(w.set_token(token, allowed_networks=[]))
    w.allowed("no networks: any address", ask("198.51.100.1"))
    w.allowed("  and none", w.validate(token.secret))


@rule("ALLOW and DENY carry what the contract says.")
def carried(w):
    account = w.account("access-keys")
    proxy = w.principal(account, display_name="The proxy")
    token = w.token(account, principal_id=proxy, name="My key", expire_time=later(days=1), grants=["a"])
    answer = w.validate(token.secret)
    wanted = (token.id, "My key", account, proxy, "The proxy", token.token.expire_time)
    carried = lambda r: (r.token_id, r.token_name, r.account_id, r.principal_id, r.principal_name, r.expire_time)
    w.equal("ALLOW: whose it is", carried(answer), wanted)
    w.equal("  access", w.server.enum("keyward.v1.Access", answer.access), "ACCESS_FULL")
    w.equal("  no reason", answer.reason, 0)
    w.check("  a revision", answer.revision > 0, answer.revision)
    w.equal("  no steps", len(answer.steps), 0)
    denied = w.validate(token.secret, required={"resource": "b"})
    w.denied("DENY after the secret has matched", denied, "PERMISSION_DENIED")
    w.equal("  also whose it is", carried(denied), wanted)
    w.check("  and a sentence", len(denied.detail) > 8, denied.detail)
    w.equal("  no grants", list(denied.grants), [])
    w.check("a change is seen at its revision", w.validate(token.secret).revision >= answer.revision, "it fell")


@rule("account_id: only tokens of this account are good, all others UNKNOWN")
def named_account(w):
    account, other = w.account(), w.account()
    token = w.token(account)
    w.allowed("its own", w.validate(token.secret, account_id=account))
    for wrong in (other, "system", "no-such-account", "Not An Id", "x" * 500):
        w.denied(wrong[:20], w.validate(token.secret, account_id=wrong), "UNKNOWN")


@rule("dry_run: test a connection: the same decision with every step told, and nothing counted or marked as used")
def dry_run(w):
    account = w.account(policy={"principal_rule": "PRINCIPAL_RULE_ENFORCED"})
    user = w.api_user(account, w.role(account, "a"))
    token = w.token(account, principal_id=user, access="ACCESS_READ_ONLY", allowed_networks=["10.0.0.0/8"], expire_time=later(days=1))
    ask = lambda **request: w.validate(token.secret, **{"client_address": "10.0.0.1", **request})
    cases = {
        "ALLOW": {"required": {"resource": "a", "action": "read"}},
        "PERMISSION_DENIED": {"required": {"resource": "b", "action": "read"}},
        "READ_ONLY": {"required": {"resource": "a", "action": "write"}},
        "ADDRESS_NOT_ALLOWED": {"client_address": "192.0.2.1"},
        "ACCOUNT_KEY_MISMATCH": {"account_key": "wrong"},
    }
    for verdict, request in cases.items():
        wet, dry = ask(**request), ask(**request, dry_run=True)
        w.equal(f"{verdict}: the same decision", (dry.verdict, wet.verdict), (verdict, verdict))
        w.check("  with the same words", dry.detail == wet.detail, (dry.detail, wet.detail))
        failed = [step.rule for step in dry.steps if not step.passed]
        w.equal("  steps that failed", len(failed), 0 if verdict == "ALLOW" else 1)
        w.equal("  every step is told, in order", [step.rule for step in dry.steps], BEFORE + AFTER)
        w.check("  each in words", all(step.detail for step in dry.steps), dry.message)
        w.equal("  none without dry_run", len(wet.steps), 0)
    before = w.op.GetToken(token_id=token.id).token
    w.equal("the token is as it was", w.read(token), before)
    for text, steps in {"": 1, "kw_": 2, "nonsense": 4}.items():
        empty = w.op.ValidateCredentials(token=text, dry_run=True)
        w.equal(f"before a secret matches, the steps end there ({text!r})", [step.rule for step in empty.steps], BEFORE[:steps])
        w.check("  and nobody is named", empty.ok and not empty.token_id and not empty.account_id, empty)


@rule("Read your own writes: it answers after the commit is durable and this node's directory has seen it.")
def own_writes(w):
    account = w.account()
    for turn in range(30):
        token = w.token(account, grants=["a"])
        if w.validate(token.secret).verdict != "ALLOW":
            return w.check("created, then good", False, f"turn {turn}")
        w.need(w.set_token(token, grants=["b"]))
        if w.validate(token.secret, required={"resource": "a"}).verdict != "PERMISSION_DENIED":
            return w.check("narrowed, then denied", False, f"turn {turn}")
    w.check("30 times: created, then good; narrowed, then denied", True)


@rule("Times are whole milliseconds; a token shows when it was made, changed and rekeyed")
def times(w):
    token = w.token(w.account(), ttl=span(hours=1))
    made = w.read(token)
    w.equal("expire_time is create_time and the ttl", instant(made.expire_time) - instant(made.create_time), span(hours=1))
    w.check("never rekeyed: rekey_time unset", not made.HasField("rekey_time"), made)
    w.need(w.set_token(token, name="later"))
    w.check("update_time follows", instant(w.read(token).update_time) >= instant(made.update_time), w.read(token))
