"""The page *Bad input*, line by line; the fields' own rules are in bad_fields.py."""

from harness import later, rule, span

NO_SUCH = ("x", "0" * 22, "0" * 23, "n" * 1000, "../system", "a/b", "ü" * 22, " ", "%00", "system")


@rule("INVALID_ARGUMENT with BadRequest.field_violations naming the field and the rule")
def several_fields(w):
    account = w.account()
    reply = w.op.CreateToken(account_id=account, name="", grants=["a b"], expire_time=later(seconds=-5))
    w.invalid("a name", reply, "name")
    described = [violation.description for violation in reply.details["BadRequest"].field_violations] if "BadRequest" in reply.details else []
    w.check("each with its rule in words", bool(described) and all(len(text) > 5 for text in described), described)
    w.not_run("all wrong fields at once", "the contract promises the first; told here: " + ", ".join(reply.fields))


@rule("page size ≤ 1000; page token not ours;")
def pages(w):
    account = w.account()
    for number in range(3):
        w.token(account, name=f"t{number}")
        w.role(account, "dispatch")
        w.principal(account)
    lists = {
        "ListTokens": {"account_id": account},
        "ListRoles": {"account_id": account},
        "ListPrincipals": {"account_id": account},
        "ListEvents": {"account_id": account},
        "ListAccounts": {},
    }
    tokens = {}
    for name, request in lists.items():
        call = getattr(w.op, name)
        w.ok(f"{name}: page_size 1000", call(**request, page_size=1000))
        w.invalid(f"{name}: page_size 1001", call(**request, page_size=1001), "page_size")
        w.invalid(f"{name}: page_size -1", call(**request, page_size=-1), "page_size")
        first = w.need(call(**request, page_size=1))
        tokens[name] = first.next_page_token
        if w.check(f"{name}: a first page of one has a next", bool(first.next_page_token), first.message):
            w.ok(f"{name}: which can be read", call(**request, page_size=1, page_token=first.next_page_token))
            middle = len(first.next_page_token) // 2
            other = "A" if first.next_page_token[middle] != "A" else "B"
            mangled = first.next_page_token[:middle] + other + first.next_page_token[middle + 1 :]
            for wrong in ("nonsense", "x" * 5000, "AAAA", mangled):
                w.invalid(f"{name}: page_token {wrong[:12]!r}…", call(**request, page_token=wrong), "page_token")
    for name, request in lists.items():
        foreign = next(text for other, text in tokens.items() if other != name)
        w.invalid(f"{name}: another list's page_token", getattr(w.op, name)(**request, page_token=foreign), "page_token")
    changed = w.op.ListTokens(account_id=account, name_prefix="t", page_token=tokens["ListTokens"])
    w.invalid("the same list with another filter", changed, "page_token")
    other = w.op.ListTokens(account_id=w.account(), page_token=tokens["ListTokens"])
    w.invalid("the same list of another account", other, "page_token")


@rule("mask path unknown or immutable; an empty mask INVALID_ARGUMENT")
def masks(w):
    account = w.account()
    token, role, user = w.token(account), w.role(account, "dispatch"), w.principal(account)
    updates = {
        "UpdateToken": ("token", {"id": token.id}, "id account_id state create_time created_by update_time rekey_time secrets etag scope_account_id imported"),
        "UpdateAccount": ("account", {"id": account}, "id account_key create_time etag"),
        "UpdatePrincipal": ("principal", {"account_id": account, "id": user}, "id account_id interactive_login_disabled sso_bypassed password_expiry_disabled create_time etag"),
        "UpdateRole": ("role", {"account_id": account, "id": role}, "id account_id etag"),
    }
    for name, (field, ids, immutable) in updates.items():
        call = lambda mask: getattr(w.op, name)(**{field: ids, "update_mask": mask})
        w.bad_mask(f"{name}: an empty mask", call([]), "mask")
        w.bad_mask(f"{name}: no mask", getattr(w.op, name)(**{field: ids}), "mask")
        for unknown in ("nonsense", "*", "", "name.first", "Name", f"{field}.name"):
            w.bad_mask(f"{name}: unknown path {unknown!r}", call([unknown]), "mask")
        for path in immutable.split():
            w.bad_mask(f"{name}: immutable {path}", call([path]), path)
    w.bad_mask("UpdateAccount: policy.nonsense", w.op.UpdateAccount(account={"id": account}, update_mask=["policy.nonsense"]), "mask")
    mixed = w.op.UpdateToken(token={"id": token.id, "name": "new"}, update_mask=["name", "nonsense"])
    w.bad_mask("a good path beside an unknown one", mixed, "mask")
    w.equal("  changes nothing", w.read(token).name, "A token")


def calls_by_id(w, account, missing):
    """Every call that names something by an id, with that id missing."""
    token = {name: {"token_id": missing} for name in "GetToken DeactivateToken ReactivateToken DeleteToken Rekey CompleteRekey CancelRekey".split()}
    return {
        **token,
        "UpdateToken": {"token": {"id": missing, "name": "n"}, "update_mask": ["name"]},
        "GetPrincipal": {"account_id": account, "principal_id": missing},
        "UpdatePrincipal": {"principal": {"account_id": account, "id": missing, "email": "a@b"}, "update_mask": ["email"]},
        "GetRole": {"account_id": account, "role_id": missing},
        "UpdateRole": {"role": {"account_id": account, "id": missing, "display_name": "r"}, "update_mask": ["display_name"]},
        "DeleteRole": {"account_id": account, "role_id": missing},
        "UpdateAccount": {"account": {"id": missing, "display_name": "a"}, "update_mask": ["display_name"]},
    }


@rule("NOT_FOUND for an unknown id … An id of any shape that is not there is NOT_FOUND")
def unknown_ids(w):
    account = w.account()
    for missing in NO_SUCH:
        for name, request in calls_by_id(w, account, missing).items():
            if (name, missing) != ("UpdateAccount", "system"):
                w.refused(f"{name} {missing[:24]!r}", getattr(w.op, name)(**request), "NOT_FOUND", "NOT_FOUND")
    for missing in NO_SUCH[:-1]:
        in_account = {
            "GetAccount": {}, "CreateAccountKey": {}, "ListTokens": {}, "ListRoles": {}, "ListPrincipals": {},
            "CreateToken": {"name": "n"}, "CreatePrincipal": {"principal_id": "p"}, "CreateRole": {"role_id": "r", "grants": ["a"]},
            "GetRole": {"role_id": "r"}, "GetPrincipal": {"principal_id": "p"}, "ListEvents": {},
        }
        for name, request in in_account.items():
            w.refused(f"{name} in account {missing[:24]!r}", getattr(w.op, name)(account_id=missing, **request), "NOT_FOUND", "NOT_FOUND")
    w.refused("a role to give", w.op.CreatePrincipal(account_id=account, principal_id="p", role_ids=["none"]), "NOT_FOUND", "NOT_FOUND")


@rule("(decided) an empty required id is INVALID_ARGUMENT")
def empty_ids(w):
    account = w.account()
    for name, request in calls_by_id(w, account, "").items():
        w.refused(name, getattr(w.op, name)(**request), "INVALID_ARGUMENT", "INVALID_FIELD", "id")
    for name, field in {"UpdateToken": "token", "UpdateAccount": "account", "UpdatePrincipal": "principal", "UpdateRole": "role"}.items():
        w.refused(f"{name} without its {field}", getattr(w.op, name)(update_mask=["display_name"]), "INVALID_ARGUMENT", "INVALID_FIELD")
    w.refused("ImportToken without its token", w.op.ImportToken(sha256=b"x" * 32), "INVALID_ARGUMENT", "INVALID_FIELD")


@rule("FAILED_PRECONDITION with the state that forbids it (delete an active token, reactivate an expired one, issue for a principal that is not an active API user, create a second account key)")
def preconditions(w):
    account, _ = w.account("integration-tokens", key=True)
    user = w.api_user(account)
    token = w.token(account, principal_id=user, expire_time=later(days=1))
    dead = w.expired(account, principal_id=user)
    cases = {
        "TOKEN_ACTIVE": w.op.DeleteToken(token_id=token.id),
        "TOKEN_EXPIRED": w.op.ReactivateToken(token_id=dead.id),
        "PRINCIPAL_NOT_API_USER": w.op.CreateToken(account_id=account, name="n", principal_id=w.principal(account), ttl=span(days=1)),
        "ACCOUNT_KEY_EXISTS": w.op.CreateAccountKey(account_id=account),
    }
    cases["PRINCIPAL_NOT_ACTIVE"] = w.set_principal(account, w.principal(account, state="PRINCIPAL_STATE_DISABLED"), api_user=True)
    for reason, reply in cases.items():
        w.refused(reason, reply, "FAILED_PRECONDITION", reason)
        violations = reply.details["PreconditionFailure"].violations if "PreconditionFailure" in reply.details else []
        w.check("  PreconditionFailure says which", len(violations) > 0 and bool(violations[0].description), reply)


@rule("RESOURCE_EXHAUSTED with QuotaFailure (token limit)")
def token_limit(w):
    account = w.account(policy={"max_tokens": 1})
    w.token(account)
    full = w.op.CreateToken(account_id=account, name="n")
    w.refused("one too many", full, "RESOURCE_EXHAUSTED", "TOKEN_LIMIT")
    violations = full.details["QuotaFailure"].violations if "QuotaFailure" in full.details else []
    w.check("  QuotaFailure says whose", len(violations) > 0 and account in str(violations[0]), full.details)
    none = w.op.CreateToken(account_id=w.account(policy={"max_tokens": 0}), name="n")
    w.refused("max_tokens 0: none", none, "RESOURCE_EXHAUSTED", "TOKEN_LIMIT")


@rule("ABORTED on an etag mismatch")
def etags(w):
    account = w.account()
    token, role, user = w.token(account), w.role(account, "dispatch"), w.principal(account)
    stale = w.read(token).etag
    w.need(w.set_token(token, name="changed"))
    fresh = w.read(token).etag
    w.check("a change makes another etag", fresh != stale, fresh)
    for name in "DeactivateToken ReactivateToken DeleteToken Rekey CompleteRekey CancelRekey".split():
        w.refused(f"{name} with the one before", getattr(w.op, name)(token_id=token.id, etag=stale), "ABORTED", "ETAG_MISMATCH")
    update = lambda etag: w.op.UpdateToken(token={"id": token.id, "name": "again", "etag": etag}, update_mask=["name"])
    w.refused("UpdateToken with the one before", update(stale), "ABORTED", "ETAG_MISMATCH")
    w.refused("  with nonsense", update("nonsense"), "ABORTED", "ETAG_MISMATCH")
    w.ok("  with the current one", update(fresh))
    before = w.read(token).etag
    w.allowed("a validation", w.validate(token.secret))
    w.equal("  does not change it", w.read(token).etag, before)
    cases = {
        "UpdateAccount": {"account": {"id": account, "display_name": "n", "etag": "old"}, "update_mask": ["display_name"]},
        "UpdatePrincipal": {"principal": {"account_id": account, "id": user, "email": "a@b", "etag": "old"}, "update_mask": ["email"]},
        "UpdateRole": {"role": {"account_id": account, "id": role, "display_name": "n", "etag": "old"}, "update_mask": ["display_name"]},
        "DeleteRole": {"account_id": account, "role_id": role, "etag": "old"},
    }
    for name, request in cases.items():
        w.refused(name, getattr(w.op, name)(**request), "ABORTED", "ETAG_MISMATCH")
    current = w.op.GetRole(account_id=account, role_id=role).role.etag
    w.ok("DeleteRole with the current one", w.op.DeleteRole(account_id=account, role_id=role, etag=current))
    account_etag = w.op.GetAccount(account_id=account).account.etag
    update_account = w.op.UpdateAccount(account={"id": account, "display_name": "n", "etag": account_etag}, update_mask=["display_name"])
    w.ok("UpdateAccount with the current one", update_account)


@rule("ALREADY_EXISTS for a taken id")
def taken(w):
    account = w.account()
    role, user = w.role(account, "dispatch"), w.principal(account)
    w.refused("an account", w.op.CreateAccount(account_id=account), "ALREADY_EXISTS", "ALREADY_EXISTS")
    w.refused("the account system", w.op.CreateAccount(account_id="system"), "ALREADY_EXISTS|INVALID_ARGUMENT")
    w.refused("a principal", w.op.CreatePrincipal(account_id=account, principal_id=user), "ALREADY_EXISTS", "ALREADY_EXISTS")
    w.refused("a role", w.op.CreateRole(account_id=account, role_id=role, grants=["a"]), "ALREADY_EXISTS", "ALREADY_EXISTS")
    other = w.account()
    w.ok("the same principal id in another account", w.op.CreatePrincipal(account_id=other, principal_id=user))
    w.ok("the same role id in another account", w.op.CreateRole(account_id=other, role_id=role, grants=["a"]))
    w.need(w.op.DeleteRole(account_id=other, role_id=role))
    w.ok("a deleted role's id is free again", w.op.CreateRole(account_id=other, role_id=role, grants=["b"]))
    replies = [call() for call in [w.op.start("CreateRole", account_id=account, role_id="race", grants=["a"]) for _ in range(10)]]
    w.equal("ten at once for one id: one gets it", sum(reply.ok for reply in replies), 1)
    made = w.need(w.op.CreateAccount()).account
    w.check("an id unset is made up", 3 <= len(made.id) <= 40, made.id)


@rule("UNAUTHENTICATED and PERMISSION_DENIED for operators, with the grant that is missing.")
def operators(w):
    w.refused("no token", w.nobody.ListTokens(), "UNAUTHENTICATED", "UNAUTHENTICATED")
    w.refused("garbage", w.as_("garbage").ListTokens(), "UNAUTHENTICATED", "UNAUTHENTICATED")
    w.refused("a damaged one", w.as_(w.operator_secret[:-1]).ListTokens(), "UNAUTHENTICATED", "UNAUTHENTICATED")
    _, reader = w.operator("keyward/tokens:read")
    refused = reader.CreateToken(account_id=w.account(), name="n")
    w.refused("without the grant", refused, "PERMISSION_DENIED", "GRANT_MISSING")
    grant = refused.details["ErrorInfo"].metadata.get("grant", "") if "ErrorInfo" in refused.details else ""
    w.equal("  ErrorInfo names it", grant, "keyward/tokens:write")


@rule("UNAVAILABLE with RetryInfo (overload, store away).")
def unavailable(w):
    token = w.token(w.account())
    seen = w.validate(token.secret).revision
    w.check("an answer names its revision", seen > 0, seen)
    w.allowed("a revision that is there", w.validate(token.secret, min_revision=seen))
    far = w.validate(token.secret, min_revision=seen + 1_000_000)
    w.refused("one that is not", far, "UNAVAILABLE", "REVISION_NOT_REACHED")
    w.check("  with RetryInfo", "RetryInfo" in far.details, far)
    w.not_run("overload, store away", "a client alone cannot bring them about; the server's own tests do")


@rule("Nothing is half done.")
def nothing_half_done(w):
    account = w.account("integration-tokens")
    before = len(w.events(account))
    w.op.CreateToken(account_id=account, name="n", ttl=span(days=1))
    w.op.CreateToken(account_id=account, name="n", principal_id="none", ttl=span(days=1))
    w.op.CreatePrincipal(account_id=account, principal_id="p", role_ids=["none"])
    w.op.CreateRole(account_id=account, role_id="r", grants=["not a grant"])
    w.op.UpdateAccount(account={"id": account, "display_name": "x", "etag": "old"}, update_mask=["display_name"])
    w.equal("refused calls leave no tokens", len(w.op.ListTokens(account_id=account).tokens), 0)
    w.equal("  no principals", len(w.op.ListPrincipals(account_id=account).principals), 0)
    w.equal("  no roles", len(w.op.ListRoles(account_id=account).roles), 0)
    w.equal("  no events", len(w.events(account)), before)


@rule("A corrupt or newer store refuses to open, says which key or version, and is left as it was.")
def store(w):
    w.not_run("corrupt and newer stores", "needs the server's data directory; the store's own tests do it")


@rule("Whatever arrives (any bytes, any size), the process goes on (promise 10).")
def any_bytes(w):
    for name, payload in {"not protobuf": b"\xff" * 40, "a cut field": b"\x0a\x7f", "bad UTF-8": b"\x0a\x02\xff\xfe"}.items():
        reply = w.op.start_raw("GetToken", payload)()
        w.check(f"{name} is an error", not reply.ok, reply)
        w.check("  that carries ErrorInfo", "ErrorInfo" in reply.details, reply)
    large = w.op.ValidateCredentials(token="x" * 100_000)
    w.check("a message over 64 KiB is an error", not large.ok, large)
    w.check("  that carries ErrorInfo", "ErrorInfo" in large.details, large)
    unknown = w.op.start_raw("NoSuchMethod", b"")()
    w.check("an unknown method is UNIMPLEMENTED", unknown.code == "UNIMPLEMENTED", unknown)
    w.check("  and carries ErrorInfo", "ErrorInfo" in unknown.details, unknown)
    w.allowed("and good callers go on", w.validate(w.token(w.account()).secret))
