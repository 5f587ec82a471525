"""The first system: integration tokens (preset `integration-tokens`), sentence by sentence."""

from client import instant
from harness import later, now, rule, span
from surroundings import enum_comments
from text import parts

PRESET = "integration-tokens"


def world(w):
    """An account with its key, and an API user that may do everything."""
    account, key = w.account(PRESET, key=True)
    return account, key, w.api_user(account, w.role(account, "*"))


def issue(w, account, user, **more):
    return w.token(account, **{"principal_id": user, "expire_time": later(days=30), **more})


@rule("Account with a permanent account key, created once, on demand.")
def account_key(w):
    account = w.account(PRESET)
    w.equal("a new account has no key", w.op.GetAccount(account_id=account).account.account_key, "")
    user = w.api_user(account, w.role(account, "*"))
    token = issue(w, account, user)
    w.denied("before there is a key, nothing is good", w.validate(token.secret), "ACCOUNT_KEY_MISMATCH")
    key = w.op.CreateAccountKey(account_id=account).account.account_key
    w.check("CreateAccountKey answers it", bool(key), key)
    w.allowed("from then on it lets tokens in", w.validate(token.secret, account_key=key))
    again = w.op.CreateAccountKey(account_id=account)
    w.refused("a second one", again, "FAILED_PRECONDITION", "ACCOUNT_KEY_EXISTS")
    w.check("  with PreconditionFailure", "PreconditionFailure" in again.details, again)
    mask = w.op.UpdateAccount(account={"id": account, "account_key": "mine"}, update_mask=["account_key"])
    w.bad_mask("changing it", mask, "account_key")
    w.equal("it is still the same", w.op.GetAccount(account_id=account).account.account_key, key)
    other = w.account(PRESET, key=True)[1]
    w.check("another account has another", other != key, other)


@rule("API users: only an ACTIVE principal can be made one;")
def made_api_user(w):
    account = w.account(PRESET)
    for state in ("UNVERIFIED", "DISABLED"):
        made = w.op.CreatePrincipal(
            account_id=account, principal_id=w.unique("user"), state=f"PRINCIPAL_STATE_{state}", api_user=True
        )
        w.refused(f"created {state}", made, "FAILED_PRECONDITION", "PRINCIPAL_NOT_ACTIVE")
        user = w.principal(account, state=f"PRINCIPAL_STATE_{state}")
        w.refused(f"made from {state}", w.set_principal(account, user, api_user=True), "FAILED_PRECONDITION", "PRINCIPAL_NOT_ACTIVE")
        issued = w.op.CreateToken(account_id=account, name="t", principal_id=user, expire_time=later(days=1))
        w.refused(f"a token for {state}", issued, "FAILED_PRECONDITION", "PRINCIPAL_NOT_API_USER")
    unset = w.need(w.op.CreatePrincipal(account_id=account, principal_id=w.unique("user"))).principal
    w.equal("a state unset is UNVERIFIED", w.server.enum("keyward.v1.PrincipalState", unset.state), "PRINCIPAL_STATE_UNVERIFIED")
    user = w.principal(account, state="PRINCIPAL_STATE_UNVERIFIED")
    w.ok("verified first", w.set_principal(account, user, state="PRINCIPAL_STATE_ACTIVE"))
    w.ok("then made one", w.set_principal(account, user, api_user=True))
    both = w.principal(account, state="PRINCIPAL_STATE_UNVERIFIED")
    w.ok("both in one change", w.set_principal(account, both, state="PRINCIPAL_STATE_ACTIVE", api_user=True))
    plain = w.principal(account)
    refused = w.op.CreateToken(account_id=account, name="t", principal_id=plain, expire_time=later(days=1))
    w.refused("a token for an active principal that is not an API user", refused, "FAILED_PRECONDITION", "PRINCIPAL_NOT_API_USER")


@rule("it then cannot log in interactively, bypasses SSO, its password does not expire,")
def api_user_flags(w):
    account = w.account(PRESET)
    flags = lambda p: (p.interactive_login_disabled, p.sso_bypassed, p.password_expiry_disabled)
    plain = w.op.GetPrincipal(account_id=account, principal_id=w.principal(account)).principal
    w.equal("somebody else: none of the three", flags(plain), (False, False, False))
    user = w.op.GetPrincipal(account_id=account, principal_id=w.api_user(account)).principal
    w.equal("an API user: all three", flags(user), (True, True, True))
    undone = w.set_principal(account, user.id, api_user=False)
    w.equal("no longer one: none again", flags(undone.principal), (False, False, False))
    given = w.set_principal(account, user.id, sso_bypassed=True)
    w.bad_mask("they are output only", given, "sso_bypassed")


@rule("its roles still bound what its tokens may do.")
def roles_bound(w):
    account, key = w.account(PRESET, key=True)
    role = w.role(account, "dispatch", "tables/orders:read")
    user = w.api_user(account, role)
    star = issue(w, account, user, grants=["*"])
    empty = issue(w, account, user)
    narrow = issue(w, account, user, grants=["tables/*"])
    ask = lambda token, resource, action="": w.validate(
        token.secret, account_key=key, required={"resource": resource, "action": action}, with_grants=True
    )
    for name, token in (("* on the token", star), ("no grants on the token", empty)):
        w.allowed(f"{name}: what the role has", ask(token, "dispatch"))
        w.allowed(f"{name}: the role's action", ask(token, "tables/orders", "read"))
        w.denied(f"{name}: another action", ask(token, "tables/orders", "write"), "PERMISSION_DENIED")
        w.denied(f"{name}: another resource", ask(token, "reports"), "PERMISSION_DENIED")
    w.denied("the token narrows the role", ask(narrow, "dispatch"), "PERMISSION_DENIED")
    answer = ask(narrow, "tables/orders", "read")
    w.allowed("both have it", answer)
    w.equal("the effective grants are told", list(answer.grants), ["tables/orders:read"])
    w.need(w.op.UpdateRole(role={"account_id": account, "id": role, "grants": ["reports"]}, update_mask=["grants"]))
    w.allowed("a changed role counts at once", ask(star, "reports"))
    w.denied("  also where it lost something", ask(star, "dispatch"), "PERMISSION_DENIED")
    second = w.role(account, "dispatch")
    w.need(w.set_principal(account, user, role_ids=[role, second]))
    w.allowed("roles add up", ask(star, "dispatch"))
    w.allowed("  and the first still counts", ask(star, "reports"))
    w.need(w.set_principal(account, user, role_ids=[]))
    w.denied("without roles nothing may be done", ask(star, "dispatch"), "PERMISSION_DENIED")
    w.denied("  not even by a token without grants", ask(empty, "dispatch"), "PERMISSION_DENIED")
    w.allowed("  but the token is alive", w.validate(star.secret, account_key=key))


@rule("Tokens: at most 100 per account, dead ones included;")
def at_most_100(w):
    account, _, user = world(w)
    request = {"account_id": account, "name": "one of many", "principal_id": user, "expire_time": later(days=1)}
    replies = [call() for call in [w.op.start("CreateToken", **request) for _ in range(100)]]
    w.equal("100 are made", sum(reply.ok for reply in replies), 100)
    w.secrets.extend(reply.secret for reply in replies if reply.ok)
    full = w.op.CreateToken(**request)
    w.refused("the 101st", full, "RESOURCE_EXHAUSTED", "TOKEN_LIMIT")
    w.check("  with QuotaFailure", "QuotaFailure" in full.details, full)
    dead = replies[0].token.id
    w.need(w.op.DeactivateToken(token_id=dead))
    w.refused("a dead one counts", w.op.CreateToken(**request), "RESOURCE_EXHAUSTED", "TOKEN_LIMIT")
    w.need(w.op.DeleteToken(token_id=dead))
    w.ok("a deleted one does not", w.op.CreateToken(**request))
    w.equal("100 are listed", len(w.listed(w.op.ListTokens, "tokens", account_id=account)), 100)


@rule("name, API user and expiry all required")
def all_required(w):
    account, _, user = world(w)
    whole = {"account_id": account, "name": "n", "principal_id": user, "expire_time": later(days=1)}
    without = lambda name: w.op.CreateToken(**{k: v for k, v in whole.items() if k != name})
    w.invalid("no name", without("name"), "name")
    w.invalid("no API user", without("principal_id"), "principal_id")
    w.invalid("no expiry", without("expire_time"), "expir")
    w.refused("an API user that is not there", w.op.CreateToken(**{**whole, "principal_id": "nobody"}), "NOT_FOUND", "NOT_FOUND")
    stranger = w.api_user(w.account(PRESET))
    w.refused("an API user of another account", w.op.CreateToken(**{**whole, "principal_id": stranger}), "NOT_FOUND", "NOT_FOUND")
    w.equal("none of these left a token", len(w.listed(w.op.ListTokens, "tokens", account_id=account)), 0)


@rule("and frozen")
def frozen(w):
    account, key, user = world(w)
    token = issue(w, account, user)
    second = w.api_user(account)
    changes = {"name": "another", "principal_id": second, "expire_time": later(days=60)}
    for name, value in changes.items():
        changed = w.set_token(token, **{name: value})
        w.refused(name, changed, "FAILED_PRECONDITION", "TOKEN_FROZEN")
        w.check("  with PreconditionFailure", "PreconditionFailure" in changed.details, changed)
    w.refused("among others that may change", w.set_token(token, grants=["dispatch"], name="x"), "FAILED_PRECONDITION", "TOKEN_FROZEN")
    w.equal("  then nothing is half done", list(w.read(token).grants), [])
    w.ok("grants may change", w.set_token(token, grants=["dispatch"]))
    w.ok("labels may change", w.set_token(token, labels={"team": "a"}))


@rule("(a regenerated token is dead at once: grace 0);")
def regenerated(w):
    account, key, user = world(w)
    token = issue(w, account, user)
    new, answer = w.rekey(token)
    w.denied("the old secret", w.validate(token.secret, account_key=key), "SUPERSEDED")
    w.allowed("the new one", w.validate(new.secret, account_key=key))
    w.check("old_secret_good_until is not in the future", instant(answer.old_secret_good_until) <= now() + span(seconds=1), answer.old_secret_good_until)
    w.equal("the token is the same", new.id, token.id)


@rule("expiry on a date means 00:00 UTC as that date begins;")
def on_a_date(w):
    account, _, user = world(w)
    day = later(days=40).date()
    token = issue(w, account, user, expire_time=None, expire_date=day.isoformat())
    w.equal("expire_time", instant(token.token.expire_time).isoformat(), f"{day.isoformat()}T00:00:00+00:00")
    request = {"account_id": account, "name": "n", "principal_id": user}
    today = now().date().isoformat()
    w.invalid("today has begun", w.op.CreateToken(**request, expire_date=today), "expir")
    for wrong in ("2027-02-30", "31.01.2030", "2030-1-1", "tomorrow", "2030-01-01T00:00:00Z", ""):
        w.invalid(f"{wrong!r} is no date", w.op.CreateToken(**request, expire_date=wrong), "expir")


@rule("token and account key are presented together;")
def together(w):
    account, key, user = world(w)
    token = issue(w, account, user)
    other = w.account(PRESET, key=True)[1]
    w.allowed("both", w.validate(token.secret, account_key=key))
    w.denied("no key", w.validate(token.secret), "ACCOUNT_KEY_MISMATCH")
    w.denied("a wrong key", w.validate(token.secret, account_key="wrong"), "ACCOUNT_KEY_MISMATCH")
    w.denied("another account's key", w.validate(token.secret, account_key=other), "ACCOUNT_KEY_MISMATCH")
    w.denied("the key alone", w.validate(account_key=key), "MISSING")


@rule("deactivate and resume;")
def deactivate_and_resume(w):
    account, key, user = world(w)
    token = issue(w, account, user)
    w.ok("deactivate", w.op.DeactivateToken(token_id=token.id, why="a test"))
    w.denied("then", w.validate(token.secret, account_key=key), "INACTIVE")
    w.ok("resume", w.op.ReactivateToken(token_id=token.id))
    w.allowed("then", w.validate(token.secret, account_key=key))


@rule("an expired one can be neither resumed nor renewed;")
def expired(w):
    account, key, user = world(w)
    token = w.expired(account, principal_id=user)
    w.denied("it is refused", w.validate(token.secret, account_key=key), "EXPIRED")
    w.refused("resumed", w.op.ReactivateToken(token_id=token.id), "FAILED_PRECONDITION", "TOKEN_EXPIRED")
    w.refused("rekeyed", w.op.Rekey(token_id=token.id), "FAILED_PRECONDITION", "TOKEN_EXPIRED")
    renewed = w.set_token(token, expire_time=later(days=1))
    w.refused("renewed", renewed, "FAILED_PRECONDITION", "TOKEN_EXPIRED|TOKEN_FROZEN")
    w.ok("it can be deleted", w.op.DeleteToken(token_id=token.id))


@rule("only inactive or expired ones are deleted, for good;")
def deleted(w):
    account, key, user = world(w)
    token = issue(w, account, user)
    refused = w.op.DeleteToken(token_id=token.id)
    w.refused("an active one", refused, "FAILED_PRECONDITION", "TOKEN_ACTIVE")
    w.check("  with PreconditionFailure", "PreconditionFailure" in refused.details, refused)
    w.need(w.op.DeactivateToken(token_id=token.id))
    w.ok("tried first (validate_only)", w.op.DeleteToken(token_id=token.id, validate_only=True))
    w.ok("  leaves it there", w.op.GetToken(token_id=token.id))
    w.ok("an inactive one", w.op.DeleteToken(token_id=token.id))
    w.refused("it is gone", w.op.GetToken(token_id=token.id), "NOT_FOUND", "NOT_FOUND")
    w.refused("  a second time", w.op.DeleteToken(token_id=token.id), "NOT_FOUND", "NOT_FOUND")
    w.refused("  cannot be resumed", w.op.ReactivateToken(token_id=token.id), "NOT_FOUND", "NOT_FOUND")
    w.denied("  its secret", w.validate(token.secret, account_key=key), "UNKNOWN")
    w.equal("the id in its text was its own", parts(token.secret)[1], token.id)


@rule("disabling the API user stops all its tokens at once.")
def disabled_user(w):
    account, key, user = world(w)
    tokens = [issue(w, account, user) for _ in range(3)]
    neighbour = issue(w, account, w.api_user(account, w.role(account, "*")))
    w.need(w.set_principal(account, user, state="PRINCIPAL_STATE_DISABLED"))
    for number, token in enumerate(tokens, 1):
        w.denied(f"token {number}", w.validate(token.secret, account_key=key), "PRINCIPAL_DISABLED")
    w.allowed("another user's token goes on", w.validate(neighbour.secret, account_key=key))
    refused = w.op.CreateToken(account_id=account, name="n", principal_id=user, expire_time=later(days=1))
    w.refused("a new one for it", refused, "FAILED_PRECONDITION", "PRINCIPAL_NOT_API_USER")
    w.need(w.set_principal(account, user, state="PRINCIPAL_STATE_ACTIVE"))
    w.allowed("enabled, they work again", w.validate(tokens[0].secret, account_key=key))
    w.need(w.set_principal(account, user, api_user=False))
    w.denied("no longer an API user", w.validate(tokens[0].secret, account_key=key), "PRINCIPAL_DISABLED")
    w.need(w.set_principal(account, user, api_user=True))
    w.need(w.set_principal(account, user, state="PRINCIPAL_STATE_UNVERIFIED"))
    w.denied("unverified", w.validate(tokens[0].secret, account_key=key), "PRINCIPAL_DISABLED")


@rule("Denials are 401; a missing permission 403.")
def as_http(w):
    numbers = w.server.pool.FindEnumTypeByName("keyward.v1.DenyReason").values_by_name
    order = [value.removeprefix("DENY_REASON_") for value, _ in sorted(numbers.items(), key=lambda pair: pair[1].number)]
    wanted = (
        "UNSPECIFIED MISSING MALFORMED WRONG_ENVIRONMENT UNKNOWN ACCOUNT_KEY_MISMATCH SUPERSEDED EXPIRED INACTIVE "
        "PRINCIPAL_DISABLED ACCOUNT_DISABLED PERMISSION_DENIED READ_ONLY ADDRESS_NOT_ALLOWED "
        "TOO_MANY_CONNECTIONS RATE_LIMITED QUOTA_EXCEEDED"
    ).split()
    w.equal("the reasons stand in their order", order, wanted)
    codes = {reason: told[:3] for reason, told in enum_comments(w, "DenyReason").items()}
    forbidden, later_again = {"PERMISSION_DENIED", "READ_ONLY", "ADDRESS_NOT_ALLOWED"}, {"TOO_MANY_CONNECTIONS", "RATE_LIMITED", "QUOTA_EXCEEDED"}
    wanted = {reason: "403" if reason in forbidden else "429" if reason in later_again else "401" for reason in order[1:]}
    w.equal("the contract says the code of each", {reason: codes.get(f"DENY_REASON_{reason}") for reason in wanted}, wanted)


@rule("Expiring tokens are listed and announced.")
def expiring(w):
    account, _, user = world(w)
    soon, late = issue(w, account, user, expire_time=later(days=2)), issue(w, account, user, expire_time=later(days=20))
    dead = w.expired(account, principal_id=user)
    names = {token.id for token in w.listed(w.op.ListTokens, "tokens", account_id=account, expire_before=later(days=7))}
    w.equal("listed: what expires within a week, and what has", names, {soon.id, dead.id})
    w.check("  not what lives longer", late.id not in names, names)
    w.need(w.op.UpdateAccount(account={"id": account, "policy": {"notify_before_expiry": [span(days=7), span(seconds=2)]}}, update_mask=["policy.notify_before_expiry"]))
    told = lambda token, kind: w.event_types(account, token.id).count(kind)
    w.until("announced: what expires within a week", lambda: told(soon, "TOKEN_EXPIRING") == 1)
    w.until("  what has expired", lambda: told(dead, "TOKEN_EXPIRED") == 1)
    dying = issue(w, account, user, expire_time=later(seconds=4))
    w.until("once for each notice", lambda: told(dying, "TOKEN_EXPIRING") == 2)
    w.until("  and at the end", lambda: told(dying, "TOKEN_EXPIRED") == 1)
    w.equal("  not more often", (told(dying, "TOKEN_EXPIRING"), told(soon, "TOKEN_EXPIRING"), told(late, "TOKEN_EXPIRING")), (2, 1, 0))
