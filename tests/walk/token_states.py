"""*Fine print*, Token state, and what a disabled account still does."""

from harness import later, rule, span


@rule("EXPIRED outranks INACTIVE and is for good, under every policy.")
def outranks(w):
    account = w.account()
    token = w.token(account, expire_time=later(seconds=1.5))
    w.need(w.op.DeactivateToken(token_id=token.id))
    w.equal("deactivated", w.state(token), "INACTIVE")
    w.wait_expired(token)
    w.denied("presented", w.validate(token.secret), "EXPIRED")
    for preset in ("access-keys", "application-keys", "standard"):
        account = w.account(preset)
        dead = w.expired(account, principal_id=w.principal(account))
        w.refused(f"{preset}: reactivated", w.op.ReactivateToken(token_id=dead.id), "FAILED_PRECONDITION", "TOKEN_EXPIRED")
        w.refused(f"{preset}: rekeyed", w.op.Rekey(token_id=dead.id), "FAILED_PRECONDITION", "TOKEN_EXPIRED")
        w.refused(f"{preset}: given a new expiry", w.set_token(dead, expire_time=later(days=1)), "FAILED_PRECONDITION", "TOKEN_EXPIRED")
        cleared = w.op.UpdateToken(token={"id": dead.id}, update_mask=["expire_time"])
        w.refused(f"{preset}: given none", cleared, "FAILED_PRECONDITION", "TOKEN_EXPIRED")
        w.equal("  and still EXPIRED", w.state(dead), "EXPIRED")


@rule("Good means now < t: a token works until its expiry and not after it.")
def until_expiry(w):
    token = w.token(w.account(), ttl=span(seconds=2))
    w.allowed("before", w.validate(token.secret))
    w.until("then", lambda: w.validate(token.secret).verdict == "EXPIRED")
    w.equal("its state", w.state(token), "EXPIRED")


@rule("Deactivate is idempotent and never refused for state;")
def deactivate(w):
    account = w.account()
    token = w.token(account)
    first = w.need(w.op.DeactivateToken(token_id=token.id, why="once"))
    again = w.op.DeactivateToken(token_id=token.id, why="twice")
    w.ok("twice", again)
    w.equal("  changes nothing the second time", again.token.etag, first.token.etag)
    w.ok("an expired one", w.op.DeactivateToken(token_id=w.expired(account).id))
    other = w.token(account)
    tried = w.op.DeactivateToken(token_id=other.id, validate_only=True)
    w.check("validate_only answers as it would be", tried.ok and tried.token.state == 2, tried)
    w.equal("  and does nothing", w.state(other), "ACTIVE")
    w.check("  and writes no event", "TOKEN_DEACTIVATED" not in w.event_types(account, other.id), w.event_types(account, other.id))


@rule("reactivate of an active token changes nothing;")
def reactivate(w):
    account = w.account()
    token = w.token(account)
    before = w.read(token).etag
    w.ok("it is no error", w.op.ReactivateToken(token_id=token.id))
    w.equal("the same etag", w.read(token).etag, before)
    w.check("no event", "TOKEN_REACTIVATED" not in w.event_types(account, token.id), w.event_types(account, token.id))


@rule("rekey of an inactive one is allowed and leaves it inactive, of an expired one refused.")
def rekey_inactive(w):
    token = w.token(w.account())
    w.need(w.op.DeactivateToken(token_id=token.id))
    new, _ = w.rekey(token)
    w.equal("its state", w.state(token), "INACTIVE")
    w.denied("its new secret", w.validate(new.secret), "INACTIVE")
    w.need(w.op.ReactivateToken(token_id=token.id))
    w.allowed("reactivated: the new one", w.validate(new.secret))
    w.allowed("  and the old one in its grace", w.validate(token.secret))
    w.refused("an expired one", w.op.Rekey(token_id=w.expired(w.account()).id), "FAILED_PRECONDITION", "TOKEN_EXPIRED")


@rule("UpdateToken works in every state but EXPIRED's expiry;")
def update_always(w):
    account = w.account()
    inactive = w.token(account)
    w.need(w.op.DeactivateToken(token_id=inactive.id))
    for state, token in {"INACTIVE": inactive, "EXPIRED": w.expired(account)}.items():
        changes = {
            "name": "new", "description": "new", "grants": ["a"], "access": "ACCESS_READ_ONLY",
            "allowed_networks": ["10.0.0.0/8"], "labels": {"a": "b"}, "principal_id": w.api_user(account),
        }
        for name, value in changes.items():
            w.ok(f"{state}: {name}", w.set_token(token, **{name: value}))
        w.equal("  and the state stays", w.state(token), state)
    w.ok("INACTIVE: expire_time", w.set_token(inactive, expire_time=later(days=1)))
    token = w.token(account, labels={"a": "1", "b": "2"}, grants=["x"], description="d")
    changed = w.set_token(token, labels={"c": "3"})
    w.equal("labels are replaced as a whole", dict(changed.token.labels), {"c": "3"})
    w.equal("  what the mask does not name stays", (list(changed.token.grants), changed.token.description), (["x"], "d"))
    cleared = w.op.UpdateToken(token={"id": token.id}, update_mask=["grants", "description", "labels"])
    w.equal("unset in the request: cleared", (list(cleared.token.grants), cleared.token.description, dict(cleared.token.labels)), ([], "", {}))
    w.allowed("a change counts in the next validation", w.validate(token.secret, required={"resource": "anything"}))


@rule("Principals and accounts are disabled, never deleted; a role in use is not deleted.")
def never_deleted(w):
    deletes = sorted(name for name in w.server.methods if name.startswith("Delete"))
    w.equal("what can be deleted", deletes, ["DeleteRole", "DeleteToken"])
    account = w.account()
    role = w.role(account, "a")
    user = w.principal(account, role_ids=[role])
    refused = w.op.DeleteRole(account_id=account, role_id=role)
    w.refused("a role in use", refused, "FAILED_PRECONDITION", "ROLE_IN_USE")
    w.check("  with PreconditionFailure", "PreconditionFailure" in refused.details, refused)
    w.need(w.set_principal(account, user, role_ids=[]))
    w.ok("no longer in use", w.op.DeleteRole(account_id=account, role_id=role))
    w.refused("it is gone", w.op.GetRole(account_id=account, role_id=role), "NOT_FOUND", "NOT_FOUND")


@rule("In a disabled account reading, deactivating and deleting work, creating and rekeying are FAILED_PRECONDITION, validation says ACCOUNT_DISABLED; all of it reversible and live.")
def disabled_account(w):
    account = w.account()
    token, doomed, role = w.token(account), w.token(account), w.role(account, "a")
    user = w.principal(account)
    w.disable(account)
    w.denied("validation", w.validate(token.secret), "ACCOUNT_DISABLED")
    reads = {
        "GetAccount": {"account_id": account}, "GetToken": {"token_id": token.id}, "ListTokens": {"account_id": account},
        "GetRole": {"account_id": account, "role_id": role}, "ListRoles": {"account_id": account},
        "GetPrincipal": {"account_id": account, "principal_id": user}, "ListPrincipals": {"account_id": account},
        "ListEvents": {"account_id": account},
    }
    for name, request in reads.items():
        w.ok(name, getattr(w.op, name)(**request))
    made = {
        "CreateToken": {"account_id": account, "name": "n"}, "Rekey": {"token_id": token.id},
        "ImportToken": {"token": {"account_id": account, "name": "n"}, "sha256": b"x" * 32},
        "CreatePrincipal": {"account_id": account}, "CreateRole": {"account_id": account, "role_id": "r", "grants": ["a"]},
        "CreateAccountKey": {"account_id": account},
    }
    for name, request in made.items():
        reply = getattr(w.op, name)(**request)
        w.refused(name, reply, "FAILED_PRECONDITION", "ACCOUNT_DISABLED")
    w.ok("DeactivateToken", w.op.DeactivateToken(token_id=doomed.id))
    w.ok("DeleteToken", w.op.DeleteToken(token_id=doomed.id))
    w.ok("DeleteRole", w.op.DeleteRole(account_id=account, role_id=role))
    w.disable(account, False)
    w.allowed("enabled again", w.validate(token.secret))
    w.ok("  and made", w.op.CreateToken(account_id=account, name="n"))
