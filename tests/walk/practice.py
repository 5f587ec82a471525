"""Practice around the three systems: connection tests, rotation, environments."""

from harness import later, rule, span
from integration_tokens import issue, world
from text import Forge, parts


@rule("one token per integration;")
def one_each(w):
    account, key, user = world(w)
    crm = issue(w, account, user, name="crm", labels={"integration": "crm"})
    issue(w, account, user, name="erp", labels={"integration": "erp"})
    found = w.op.ListTokens(account_id=account, labels={"integration": "crm"}).tokens
    w.equal("found by its label", [token.id for token in found], [crm.id])
    w.need(w.op.DeactivateToken(token_id=crm.id))
    others = w.op.ListTokens(account_id=account, states=["TOKEN_STATE_ACTIVE"]).tokens
    w.equal("one is stopped without the other", [token.name for token in others], ["erp"])


@rule("a connection test that says why it fails (inactive API user, expired or rekeyed token, wrong environment, account key of another account);")
def connection_test(w):
    account, key, user = world(w)
    token = issue(w, account, user)
    test = lambda secret, account_key=key: w.validate(secret, account_key=account_key, dry_run=True)
    good = test(token.secret)
    w.allowed("a good one", good)
    w.check("  tells its steps, all passed", len(good.steps) > 3 and all(step.passed for step in good.steps), good.message)
    w.check("  and what it may do", list(good.grants) == ["*"], list(good.grants))

    def says(what, answer, reason):
        w.denied(what, answer, reason)
        failed = [step for step in answer.steps if not step.passed]
        w.check("  a step says where it failed", len(failed) >= 1 and bool(failed[0].rule), answer.message)
        w.check("  and the detail why, in words", len(answer.detail) > 8, answer.detail)

    says("account key of another account", test(token.secret, w.account("integration-tokens", key=True)[1]), "ACCOUNT_KEY_MISMATCH")
    new, _ = w.rekey(token)
    says("rekeyed token", test(token.secret), "SUPERSEDED")
    says("expired token", test(w.expired(account, principal_id=user).secret), "EXPIRED")
    w.need(w.op.DeactivateToken(token_id=token.id))
    says("inactive token", test(new.secret), "INACTIVE")
    w.need(w.op.ReactivateToken(token_id=token.id))
    w.need(w.set_principal(account, user, state="PRINCIPAL_STATE_DISABLED"))
    says("inactive API user", test(new.secret), "PRINCIPAL_DISABLED")
    forge = Forge(token.secret)
    if w.check("the checksum is CRC-32 in base62 of all before it", forge.works, token.secret[-6:]):
        foreign = forge.text("kw_elsewhere_", *parts(token.secret)[1:3])
        says("wrong environment", test(foreign), "WRONG_ENVIRONMENT")
    w.need(w.set_principal(account, user, state="PRINCIPAL_STATE_ACTIVE"))
    w.need(w.op.UpdateAccount(account={"id": account, "disabled": True}, update_mask=["disabled"]))
    says("disabled account", test(new.secret), "ACCOUNT_DISABLED")


@rule("rotation without an outage;")
def rotation(w):
    token = w.token(w.account("standard"))
    new, _ = w.rekey(token, activation="ACTIVATION_ON_FIRST_USE", grace=span(hours=1))
    for turn in range(5):
        w.allowed(f"the consumer still holds the old one, {turn}", w.validate(token.secret))
    w.allowed("it is deployed with the new one", w.validate(new.secret))
    w.allowed("a straggler with the old one", w.validate(token.secret))
    w.until("the grace has begun", lambda: w.secret_states(token) == ["CURRENT", "RETIRING"])
    w.allowed("the old one in its grace", w.validate(token.secret))
    w.ok("the rotation is completed", w.op.CompleteRekey(token_id=token.id))
    w.denied("the old one", w.validate(token.secret), "SUPERSEDED")
    w.allowed("the new one", w.validate(new.secret))


@rule("knowing which consumers depend on a token before it is turned off; … unused credentials found and removed.")
def consumers(w):
    account = w.account("standard")
    token, idle = w.token(account, name="busy"), w.token(account, name="idle")
    for consumer, times in (("billing", 2), ("reports", 1)):
        for _ in range(times):
            w.need(w.validate(token.secret, consumer=consumer))
    names = lambda consumers: sorted(consumer.name for consumer in consumers)
    tried = w.op.DeactivateToken(token_id=token.id, validate_only=True)
    w.equal("turning off can be tried: it names who breaks", names(w.need(tried).consumers), ["billing", "reports"])
    w.allowed("  and nothing happened", w.validate(token.secret))
    listed = w.need(w.op.ListConsumers(token_id=token.id)).consumers
    w.equal("they are listed, with their calls", [(one.name, one.calls_today) for one in listed], [("billing", 2), ("reports", 1)])
    new, _ = w.rekey(token, grace=span(hours=1))
    w.need(w.validate(new.secret, consumer="billing"))
    w.need(w.validate(token.secret, consumer="reports"))
    still = [one.name for one in w.op.ListConsumers(token_id=token.id).consumers if one.uses_retired_secret]
    w.equal("and who still has the old secret", still, ["reports"])
    refused = w.op.CompleteRekey(token_id=token.id, if_old_idle_for=span(seconds=1))
    w.refused("the rotation is not completed while it is used", refused, "FAILED_PRECONDITION", "OLD_SECRET_IN_USE")
    w.check("  which names who uses it", "reports" in str(refused.details.get("PreconditionFailure")), refused.details)
    w.need(w.validate(new.secret, consumer="reports"))
    w.until("  until it was idle", lambda: w.op.CompleteRekey(token_id=token.id, if_old_idle_for=span(seconds=1)).ok)
    since = w.moment()
    w.need(w.validate(new.secret, consumer="billing"))
    unused = lambda: [one.name for one in w.op.ListTokens(account_id=account, unused_since=since).tokens]
    w.equal("unused ones are found", unused(), ["idle"])
    w.need(w.op.DeactivateToken(token_id=idle.id))
    gone = w.op.DeleteToken(token_id=idle.id, validate_only=True)
    w.equal("nobody breaks", names(w.need(gone).consumers), [])
    w.need(w.op.DeleteToken(token_id=idle.id))
    w.equal("and removed", unused(), [])
    stopped = w.need(w.op.DeactivateToken(token_id=token.id))
    w.equal("turned off, it says who broke", names(stopped.consumers), ["billing", "reports"])


@rule("separate environments;")
def environments(w):
    token = w.token(w.account("standard"), expire_time=later(days=1))
    prefix, token_id, secret, _ = parts(token.secret)
    w.equal("the text names this deployment", prefix, f"kw_{w.environment}_")
    w.equal("its id is the token's", token_id, token.id)
    forge = Forge(token.secret)
    for other in ("sandbox", "prod-2", "x" * 32):
        w.denied(f"the same for {other}", w.validate(forge.text(f"kw_{other}_", token_id, secret)), "WRONG_ENVIRONMENT")
