"""*Fine print*, Operators: who may call what, on its own account and on another's."""

from dataclasses import dataclass
from typing import Callable

from client import instant
from harness import later, now, rule, span

VALIDATE, READ_TOKENS, WRITE_TOKENS = "keyward/credentials:validate", "keyward/tokens:read", "keyward/tokens:write"
READ, WRITE, EVENTS = "keyward/directory:read", "keyward/directory:write", "keyward/events:read"
USAGE = "keyward/usage:read"
ALL = (VALIDATE, READ_TOKENS, WRITE_TOKENS, READ, WRITE, EVENTS, USAGE)


@dataclass
class Row:
    """A method: the grant that it needs, a harmless call of it in an account, and what the account's and another's operator get."""

    grant: str
    request: Callable
    own: str = "OK"
    foreign: str = "NOT_FOUND"


@dataclass
class Target:
    """An account with one thing of each kind, to call methods on."""

    account: str
    token: object
    dead: object
    role: str
    spare: str
    user: str


def target(w):
    account = w.account()
    token, dead = w.token(account), w.token(account)
    w.need(w.op.DeactivateToken(token_id=dead.id))
    return Target(account, token, dead, w.role(account, "dispatch"), w.role(account, "dispatch"), w.principal(account))


def by_id(t):
    return {"token_id": t.token.id}


def in_account(t):
    return {"account_id": t.account}


def table(w):
    return {
        "ValidateCredentials": Row(VALIDATE, lambda t: {"token": t.token.secret}, foreign="UNKNOWN"),
        "StreamValidateCredentials": Row(VALIDATE, lambda t: {"request": {"token": t.token.secret}}, foreign="UNKNOWN"),
        "BatchValidateCredentials": Row(VALIDATE, lambda t: {"requests": [{"token": t.token.secret}]}, foreign="UNKNOWN"),
        "HoldConnection": Row(VALIDATE, lambda t: {"request": {"token": t.token.secret}}, foreign="UNKNOWN"),
        "WatchInvalidations": Row(VALIDATE, lambda t: {}, foreign="OK"),
        "CreateToken": Row(WRITE_TOKENS, lambda t: {**in_account(t), "name": "n"}),
        "ImportToken": Row(WRITE_TOKENS, lambda t: {"token": {**in_account(t), "name": "n"}, "sha256": w.unique().encode().ljust(32)}),
        "Rekey": Row(WRITE_TOKENS, lambda t: {**by_id(t), "activation": "ACTIVATION_ON_FIRST_USE"}),
        "CancelRekey": Row(WRITE_TOKENS, by_id),
        "CompleteRekey": Row(WRITE_TOKENS, by_id, own="FAILED_PRECONDITION"),
        "GetToken": Row(READ_TOKENS, by_id),
        "ListTokens": Row(READ_TOKENS, in_account),
        "UpdateToken": Row(WRITE_TOKENS, lambda t: {"token": {"id": t.token.id, "name": "n"}, "update_mask": ["name"]}),
        "DeactivateToken": Row(WRITE_TOKENS, by_id),
        "ReactivateToken": Row(WRITE_TOKENS, by_id),
        "DeleteToken": Row(WRITE_TOKENS, lambda t: {"token_id": t.dead.id}),
        "CreateAccount": Row(WRITE, lambda t: {"account_id": w.unique()}, own="SYSTEM_WIDE_ONLY", foreign="SYSTEM_WIDE_ONLY"),
        "GetAccount": Row(READ, in_account),
        "ListAccounts": Row(READ, lambda t: {}, foreign="OK"),
        "UpdateAccount": Row(WRITE, lambda t: {"account": {"id": t.account, "display_name": "n"}, "update_mask": ["display_name"]}),
        "CreateAccountKey": Row(WRITE, in_account),
        "CreatePrincipal": Row(WRITE, in_account),
        "GetPrincipal": Row(READ, lambda t: {**in_account(t), "principal_id": t.user}),
        "ListPrincipals": Row(READ, in_account),
        "UpdatePrincipal": Row(WRITE, lambda t: {"principal": {**in_account(t), "id": t.user, "email": "a@b"}, "update_mask": ["email"]}),
        "CreateRole": Row(WRITE, lambda t: {**in_account(t), "role_id": w.unique("r"), "grants": ["a"]}),
        "GetRole": Row(READ, lambda t: {**in_account(t), "role_id": t.role}),
        "ListRoles": Row(READ, in_account),
        "UpdateRole": Row(WRITE, lambda t: {"role": {**in_account(t), "id": t.role, "display_name": "n"}, "update_mask": ["display_name"]}),
        "DeleteRole": Row(WRITE, lambda t: {**in_account(t), "role_id": t.spare}),
        "GetUsage": Row(USAGE, in_account),
        "ListConsumers": Row(USAGE, by_id),
        "ListEvents": Row(EVENTS, in_account),
        "WatchEvents": Row(EVENTS, in_account),
        "VerifyEvents": Row(EVENTS, lambda t: {}, own="SYSTEM_WIDE_ONLY", foreign="SYSTEM_WIDE_ONLY"),
    }


def outcome(reply):
    if reply.ok:
        return "OK" if reply.verdict in (None, "ALLOW") else reply.verdict
    return reply.code if reply.error_reason != "SYSTEM_WIDE_ONLY" else f"{reply.error_reason}"


@rule("ARCHITECTURE has the table method → grant. (method × kind of caller × own or foreign account)")
def everybody(w):
    rows, own, other = table(w), target(w), target(w)
    w.equal("every rpc has a row", sorted(rows), sorted(w.server.methods))
    _, scoped = w.operator(*ALL, scope=own.account)
    without = {grant: w.operator(*(g for g in ALL if g != grant))[1] for grant in ALL}
    stranger = w.as_(w.token(own.account, grants=["*"]).secret)
    for name, row in rows.items():
        call = lambda client, t: getattr(client, name)(**row.request(t))
        w.refused(f"{name}: nobody", call(w.nobody, own), "UNAUTHENTICATED", "UNAUTHENTICATED")
        w.refused(f"{name}: a token of another account than system", call(stranger, own), "UNAUTHENTICATED|PERMISSION_DENIED")
        missing = call(without[row.grant], own)
        w.refused(f"{name}: every grant but {row.grant}", missing, "PERMISSION_DENIED", "GRANT_MISSING")
        named = missing.details["ErrorInfo"].metadata.get("grant", "") if "ErrorInfo" in missing.details else ""
        w.equal("  which is named", named, row.grant)
        foreign = call(scoped, other)
        w.check(f"{name}: scoped, another account: {row.foreign}", outcome(foreign) == row.foreign, foreign)
        mine = call(scoped, own)
        w.check(f"{name}: scoped, its own account: {row.own}", outcome(mine) == row.own, mine)
        wide = call(w.op, other)
        good = row.own if row.own != "SYSTEM_WIDE_ONLY" else "OK"
        w.check(f"{name}: system-wide: {good}", outcome(wide) == good, wide)


@rule("To a caller scoped to account A, everything of B is NOT_FOUND, and B's tokens validate as UNKNOWN")
def scoped(w):
    own, other = target(w), target(w)
    _, caller = w.operator(*ALL, scope=own.account)
    w.denied("B's token", caller.ValidateCredentials(token=other.token.secret), "UNKNOWN")
    foreign = caller.ValidateCredentials(token=other.token.secret, account_id=other.account)
    w.denied("  with B named", foreign, "UNKNOWN")
    w.allowed("A's token", caller.ValidateCredentials(token=own.token.secret))
    same = lambda reply: (reply.code, reply.error_reason, reply.text.replace(other.token.id, "ID").replace("0" * 22, "ID"))
    w.equal("the same answer as for no such id", same(caller.GetToken(token_id=other.token.id)), same(caller.GetToken(token_id="0" * 22)))
    w.equal("ListAccounts: A alone", [account.id for account in caller.ListAccounts().accounts], [own.account])
    seen = {event.account_id for event in w.listed(caller.ListEvents, "events")}
    w.equal("ListEvents: A's alone", seen, {own.account})
    w.refused("ListEvents of B", caller.ListEvents(account_id=other.account), "NOT_FOUND", "NOT_FOUND")
    w.refused("system is B, too", caller.GetAccount(account_id="system"), "NOT_FOUND", "NOT_FOUND")
    w.refused("  its tokens", caller.ListTokens(account_id="system"), "NOT_FOUND", "NOT_FOUND")
    w.refused("making an operator", caller.CreateToken(account_id="system", name="n", grants=[VALIDATE]), "NOT_FOUND", "NOT_FOUND")
    made = caller.CreateToken(name="n")
    w.check("an account unset is its own", made.ok and made.token.account_id == own.account, made)
    w.equal("  for a list, too", {token.account_id for token in caller.ListTokens().tokens}, {own.account})
    moved = caller.UpdatePrincipal(principal={"account_id": other.account, "id": own.user, "email": "a@b"}, update_mask=["email"])
    w.refused("A's principal in B", moved, "NOT_FOUND", "NOT_FOUND")
    made = w.need(w.op.CreateToken(name="in system"))
    w.equal("to a system-wide operator, an account unset is system", made.token.account_id, "system")


@rule("Only a system-wide operator creates accounts or changes `policy` and `disabled`.")
def system_wide(w):
    account = w.account()
    _, caller = w.operator(*ALL, scope=account)
    update = lambda mask, **values: caller.UpdateAccount(account={"id": account, **values}, update_mask=mask)
    w.refused("creates", caller.CreateAccount(account_id=w.unique()), "PERMISSION_DENIED", "SYSTEM_WIDE_ONLY")
    w.refused("disabled", update(["disabled"], disabled=True), "PERMISSION_DENIED", "SYSTEM_WIDE_ONLY")
    w.refused("policy", update(["policy"], policy={"max_tokens": 5}), "PERMISSION_DENIED", "SYSTEM_WIDE_ONLY")
    w.refused("one value of it", update(["policy.max_tokens"], policy={"max_tokens": 5}), "PERMISSION_DENIED", "SYSTEM_WIDE_ONLY")
    w.refused("beside what it may change", update(["display_name", "disabled"], disabled=True), "PERMISSION_DENIED", "SYSTEM_WIDE_ONLY")
    w.ok("its display_name", update(["display_name"], display_name="mine"))


@rule("`keyward/` is reserved: neither `*`, nor another wildcard, nor empty grants reach it.")
def reserved(w):
    for grants in (["*"], [], ["keyward/*"], ["keyward/tokens/*"], ["tokens:read"]):
        made = w.op.CreateToken(account_id="system", name="n", grants=grants)
        if grants and grants[0].startswith("keyward/") and not made.ok:
            w.invalid(f"{grants} is not even taken", made, "grants")
            continue
        caller = w.as_(w.issued("system", w.need(made)).secret)
        w.refused(f"{grants}", caller.ListTokens(), "PERMISSION_DENIED", "GRANT_MISSING")
    inner = w.token("system", grants=["*"])
    required = {"resource": "keyward/tokens", "action": "read"}
    w.denied("a validation that asks for it, by *", w.validate(inner.secret, required=required), "PERMISSION_DENIED")
    w.denied("  by empty grants", w.validate(w.token("system").secret, required=required), "PERMISSION_DENIED")
    outside = w.token(w.account())
    w.denied("  of another account", w.validate(outside.secret, required=required), "PERMISSION_DENIED")


@rule("A `keyward/` grant anywhere but in `system` is INVALID_ARGUMENT.")
def elsewhere(w):
    account = w.account()
    for grant in (READ_TOKENS, "keyward/tokens", "keyward/anything:read"):
        w.invalid(f"CreateToken {grant}", w.op.CreateToken(account_id=account, name="n", grants=[grant]), "grants")
        imported = w.op.ImportToken(token={"account_id": account, "name": "n", "grants": [grant]}, sha256=b"k" * 32)
        w.invalid(f"ImportToken {grant}", imported, "grants")
        w.invalid(f"UpdateToken {grant}", w.set_token(w.token(account), grants=[grant]), "grants")
        w.invalid(f"CreateRole {grant}", w.op.CreateRole(account_id=account, role_id="r", grants=[grant]), "grants")
        changed = w.op.UpdateRole(role={"account_id": account, "id": w.role(account, "a"), "grants": [grant]}, update_mask=["grants"])
        w.invalid(f"UpdateRole {grant}", changed, "grants")
    w.invalid("keyward/* outside", w.op.CreateToken(account_id=account, name="n", grants=["keyward/*"]), "grants")


@rule("whoever creates, rekeys, reactivates or widens such a token must itself hold every grant and the scope that the result has.")
def nobody_raises_its_rights(w):
    _, helper = w.operator(READ_TOKENS, WRITE_TOKENS)
    weak = w.need(helper.CreateToken(name="as I am", grants=[WRITE_TOKENS]))
    weak = w.issued("system", weak)
    w.ok("what it holds itself", w.op.GetToken(token_id=weak.id))
    strong, _ = w.operator(WRITE_TOKENS, WRITE)

    def missing(what, reply, grant=WRITE):
        w.refused(what, reply, "PERMISSION_DENIED", "GRANT_MISSING")
        named = reply.details["ErrorInfo"].metadata.get("grant", "") if "ErrorInfo" in reply.details else ""
        w.equal("  which is named", named, grant)

    missing("creates", helper.CreateToken(name="more", grants=[WRITE_TOKENS, WRITE]))
    missing("creates for one account", helper.CreateToken(name="more", grants=[WRITE], scope_account_id=w.account()))
    missing("rekeys", helper.Rekey(token_id=strong.id))
    update = lambda token, grants: helper.UpdateToken(token={"id": token.id, "grants": grants}, update_mask=["grants"])
    missing("widens", update(weak, [WRITE_TOKENS, WRITE]))
    w.ok("deactivating is always possible", helper.DeactivateToken(token_id=strong.id))
    missing("reactivates", helper.ReactivateToken(token_id=strong.id))
    w.ok("whoever holds it, may", w.op.ReactivateToken(token_id=strong.id))
    w.ok("narrowing its own", update(weak, []))
    narrowed, once_strong = w.operator(WRITE_TOKENS, WRITE)
    request = {"name": "replayed", "grants": [WRITE], "request_id": w.unique("req")}
    w.issued("system", w.need(once_strong.CreateToken(**request)))
    w.need(w.op.UpdateToken(token={"id": narrowed.id, "grants": [WRITE_TOKENS]}, update_mask=["grants"]))
    missing("a replay shows no secret of what was taken from it since", once_strong.CreateToken(**request))
    _, of_system = w.operator(*ALL, scope="system")
    missing("an operator of system alone gives all accounts", of_system.CreateToken(name="more"), "scope")
    missing("  or another one", of_system.CreateToken(name="more", scope_account_id=w.account()), "scope")
    missing("  or takes over who reaches all", of_system.Rekey(token_id=weak.id), "scope")
    same = of_system.CreateToken(name="as I am", grants=[WRITE], scope_account_id="system")
    w.issued("system", w.need(same))


@rule("Application grants need `keyward/tokens:write` (roles: `keyward/directory:write`) in that account, no more.")
def application_grants(w):
    account = w.account()
    _, helper = w.operator(WRITE_TOKENS, scope=account)
    w.ok("a token that may do everything", helper.CreateToken(name="n", grants=["*", "tables/*:read"]))
    _, helper = w.operator(WRITE, scope=account)
    w.ok("a role that gives everything", helper.CreateRole(role_id="all", grants=["*"]))


@rule("Operator tokens live in `system` only, with `scope_account_id` or without (all accounts).")
def scopes(w):
    account = w.account()
    token, _ = w.operator(VALIDATE, scope=account)
    w.equal("the scope shows", w.read(token).scope_account_id, account)
    unknown = w.op.CreateToken(account_id="system", name="n", grants=[VALIDATE], scope_account_id="no-such-account")
    w.refused("a scope that is not there", unknown, "NOT_FOUND", "NOT_FOUND")
    outside = w.op.CreateToken(account_id=account, name="n", scope_account_id=account)
    w.invalid("a scope outside system", outside, "scope_account_id")


@rule("Authenticating a caller …; its `allowed_networks` are compared with the gRPC peer.")
def peers(w):
    _, far = w.operator(READ_TOKENS, allowed_networks=["192.0.2.0/24"])
    w.refused("from elsewhere", far.ListTokens(), "UNAUTHENTICATED|PERMISSION_DENIED")
    _, near = w.operator(READ_TOKENS, allowed_networks=["127.0.0.0/8", "::1", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"])
    w.ok("from here", near.ListTokens())


@rule("(operators are tokens) deactivated, expired, rekeyed, disabled ones do not get in")
def dead_operators(w):
    token, caller = w.operator(READ_TOKENS)
    w.ok("alive", caller.ListTokens())
    w.need(w.op.DeactivateToken(token_id=token.id))
    w.refused("deactivated", caller.ListTokens(), "UNAUTHENTICATED", "UNAUTHENTICATED")
    w.need(w.op.ReactivateToken(token_id=token.id))
    new, _ = w.rekey(token, grace=span(0))
    w.refused("with its old secret", caller.ListTokens(), "UNAUTHENTICATED", "UNAUTHENTICATED")
    w.ok("with its new one", w.as_(new.secret).ListTokens())
    short, caller = w.operator(READ_TOKENS, expire_time=later(seconds=1))
    w.wait_expired(short)
    w.refused("expired", caller.ListTokens(), "UNAUTHENTICATED", "UNAUTHENTICATED")
    reader, caller = w.operator(READ_TOKENS, WRITE_TOKENS, access="ACCESS_READ_ONLY")
    w.ok("read-only, reading", caller.ListTokens())
    w.refused("read-only, writing", caller.CreateToken(name="n"), "PERMISSION_DENIED")
    account = w.account()
    scoped, caller = w.operator(*ALL, scope=account)
    w.disable(account)
    w.ok("of a disabled account, reading", caller.GetAccount())
    w.check("their tokens name who made them", w.read(scoped).created_by != "", w.read(scoped))
    w.check("  and when", abs(now() - instant(w.read(scoped).create_time)) < span(seconds=60), w.read(scoped))


@rule("`system` cannot be disabled.")
def system(w):
    reply = w.op.UpdateAccount(account={"id": "system", "disabled": True}, update_mask=["disabled"])
    w.refused("disabling it", reply, "FAILED_PRECONDITION", "SYSTEM_ACCOUNT")
    w.equal("it is not", w.op.GetAccount(account_id="system").account.disabled, False)
