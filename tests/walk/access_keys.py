"""The second system: access keys (preset `access-keys`), sentence by sentence."""

from client import instant
from harness import later, rule, span

PRESET = "access-keys"


def world(w):
    account = w.account(PRESET)
    return account, w.principal(account, display_name="Proxy One")


@rule("Key with a free-text name that can change at any time,")
def free_name(w):
    account, proxy = world(w)
    token = w.token(account, principal_id=proxy, name="Fahrten – Büro №7 🚑")
    w.equal("free text", w.read(token).name, "Fahrten – Büro №7 🚑")
    w.ok("while active", w.set_token(token, name="second"))
    w.need(w.op.DeactivateToken(token_id=token.id))
    w.ok("while inactive", w.set_token(token, name="third"))
    w.equal("it stuck", w.read(token).name, "third")
    dead = w.expired(account, principal_id=proxy)
    w.ok("while expired", w.set_token(dead, name="fourth"))
    w.equal("it stuck", w.read(dead).name, "fourth")
    twin = w.token(account, principal_id=proxy, name="third")
    w.equal("names need not be unique", w.read(twin).name, "third")


@rule("an active flag,")
def active_flag(w):
    account, proxy = world(w)
    token = w.token(account, principal_id=proxy)
    w.equal("from the start", w.state(token), "ACTIVE")
    w.need(w.op.DeactivateToken(token_id=token.id))
    w.equal("off", w.state(token), "INACTIVE")
    w.need(w.op.ReactivateToken(token_id=token.id))
    w.equal("on", w.state(token), "ACTIVE")
    w.bad_mask("the flag is no field to write", w.set_token(token, state="TOKEN_STATE_INACTIVE"), "state")


@rule("API privileges (which APIs accept it),")
def privileges(w):
    account, proxy = world(w)
    token = w.token(account, principal_id=proxy, grants=["dispatch", "billing:read"])
    ask = lambda resource, action="": w.validate(token.secret, required={"resource": resource, "action": action})
    w.allowed("dispatch", ask("dispatch"))
    w.allowed("billing to read", ask("billing", "read"))
    w.denied("billing to write", ask("billing", "write"), "PERMISSION_DENIED")
    w.denied("crew", ask("crew"), "PERMISSION_DENIED")
    w.need(w.set_token(token, grants=["crew"]))
    w.allowed("changed: crew", ask("crew"))
    w.denied("changed: dispatch", ask("dispatch"), "PERMISSION_DENIED")


@rule("a required and editable proxy principal in whose name its activity is logged")
def proxy(w):
    account, first = world(w)
    w.invalid("none given", w.op.CreateToken(account_id=account, name="n"), "principal_id")
    w.refused("one that is not there", w.op.CreateToken(account_id=account, name="n", principal_id="nobody"), "NOT_FOUND", "NOT_FOUND")
    token = w.token(account, principal_id=first)
    answer = w.validate(token.secret)
    w.equal("the answer names it", (answer.principal_id, answer.principal_name), (first, "Proxy One"))
    second = w.principal(account, display_name="Proxy Two")
    w.ok("it can be changed", w.set_token(token, principal_id=second))
    answer = w.validate(token.secret)
    w.equal("the next answer names the new one", (answer.principal_id, answer.principal_name), (second, "Proxy Two"))
    w.invalid("it cannot be taken away", w.set_token(token, principal_id=""), "principal_id")
    stranger = w.principal(w.account(PRESET))
    w.refused("one of another account", w.set_token(token, principal_id=stranger), "NOT_FOUND", "NOT_FOUND")


@rule("and whose roles and status are ignored.")
def proxy_status(w):
    account, active = world(w)
    for state in ("UNVERIFIED", "DISABLED"):
        proxy = w.principal(account, state=f"PRINCIPAL_STATE_{state}")
        token = w.token(account, principal_id=proxy)
        w.allowed(f"{state}, not an API user", w.validate(token.secret))
    token = w.token(account, principal_id=active, grants=["dispatch"])
    w.need(w.set_principal(account, active, state="PRINCIPAL_STATE_DISABLED"))
    w.allowed("disabled later", w.validate(token.secret))
    role = w.role(account, "billing")
    w.need(w.set_principal(account, active, role_ids=[role]))
    w.allowed("its roles take nothing", w.validate(token.secret, required={"resource": "dispatch"}))
    w.denied("its roles give nothing", w.validate(token.secret, required={"resource": "billing"}), "PERMISSION_DENIED")
    empty = w.token(account, principal_id=active)
    w.allowed("no grants: every application grant", w.validate(empty.secret, required={"resource": "crew", "action": "write"}))


@rule("Rekey at any time: the old key works for four more hours.")
def four_hours(w):
    account, proxy = world(w)
    token = w.token(account, principal_id=proxy)
    new, answer = w.rekey(token)
    left = instant(answer.old_secret_good_until) - instant(answer.token.rekey_time)
    w.equal("old_secret_good_until is four hours after the rekey", left, span(hours=4))
    old = w.validate(token.secret)
    w.allowed("the old key", old)
    w.equal("  is told when it stops", instant(old.secret_good_until), instant(answer.old_secret_good_until))
    fresh = w.validate(new.secret)
    w.allowed("the new key", fresh)
    w.check("  is told of no end", not fresh.message.HasField("secret_good_until"), fresh.message)
    w.need(w.op.DeactivateToken(token_id=token.id))
    w.ok("while inactive, too", w.op.Rekey(token_id=token.id))
    w.equal("  and it stays inactive", w.state(token), "INACTIVE")


@rule("Deactivation takes effect (there: within four minutes; here: promise 2).")
def deactivation(w):
    account, proxy = world(w)
    token = w.token(account, principal_id=proxy)
    for turn in range(20):
        w.need(w.op.DeactivateToken(token_id=token.id))
        answers = [call() for call in [w.op.start("ValidateCredentials", token=token.secret) for _ in range(20)]]
        if any(answer.verdict != "INACTIVE" for answer in answers):
            w.check("no ALLOW after the answer", False, f"turn {turn}: {[answer.verdict for answer in answers]}")
            return
        w.need(w.op.ReactivateToken(token_id=token.id))
        if w.validate(token.secret).verdict != "ALLOW":
            w.check("ALLOW after reactivation", False, f"turn {turn}")
            return
    w.check("20 times 20 validations after the answer, none allowed; each reactivation seen at once", True)
    new, _ = w.rekey(token, grace=span(hours=1))
    w.need(w.op.DeactivateToken(token_id=token.id))
    w.denied("the old key, in its grace", w.validate(token.secret), "INACTIVE")
    w.denied("the new key", w.validate(new.secret), "INACTIVE")


@rule("| access-keys | … | expiry: no | frozen: no |")
def not_frozen(w):
    account, proxy = world(w)
    token = w.token(account, principal_id=proxy)
    w.check("made without an expiry", not token.token.HasField("expire_time"), token.token)
    w.ok("one can be set", w.set_token(token, expire_time=later(days=5)))
    cleared = w.op.UpdateToken(token={"id": token.id}, update_mask=["expire_time"])
    w.check("and cleared", cleared.ok and not cleared.token.HasField("expire_time"), cleared)
