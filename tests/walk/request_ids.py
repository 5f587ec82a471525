"""*Fine print*, request_id: a retry gets the same answer, and makes nothing twice."""

from harness import rule, span

from operators import ALL


@rule("`request_id` replays the same answer, secret included … (one token, one event)")
def replay(w):
    account = w.account()
    request = {"account_id": account, "name": "n", "ttl": span(days=1), "request_id": w.unique("req")}
    first, again = w.need(w.op.CreateToken(**request)), w.op.CreateToken(**request)
    w.issued(account, first)
    w.ok("the retry", again)
    w.check("the same secret", again.secret == first.secret, "another secret")
    w.equal("the whole answer", again.message, first.message)
    w.equal("one token", len(w.op.ListTokens(account_id=account).tokens), 1)
    w.equal("one event", w.event_types(account).count("TOKEN_CREATED"), 1)
    w.allowed("it works", w.validate(first.secret))
    token = w.issued(account, first)
    rekey = {"token_id": token.id, "grace": span(hours=1), "request_id": w.unique("req")}
    first, again = w.need(w.op.Rekey(**rekey)), w.op.Rekey(**rekey)
    w.issued(account, first)
    w.ok("Rekey's retry", again)
    w.check("  the same secret", again.secret == first.secret, "another secret")
    w.equal("  one rekey", w.secret_states(token), ["CURRENT", "RETIRING"])
    w.equal("  one event", w.event_types(account, token.id).count("TOKEN_REKEYED"), 1)


@rule("across concurrent retries and restarts")
def concurrent(w):
    account = w.account()
    for turn in range(5):
        request = {"account_id": account, "name": "n", "request_id": w.unique("req")}
        replies = [call() for call in [w.op.start("CreateToken", **request) for _ in range(20)]]
        w.equal(f"20 at once, {turn}: all answered", {reply.code for reply in replies}, {"OK"})
        secrets = {reply.secret for reply in replies if reply.ok}
        w.secrets.extend(secrets)
        w.equal("  with one secret", len(secrets), 1)
    w.equal("five tokens", len(w.op.ListTokens(account_id=account).tokens), 5)
    w.equal("five events", w.event_types(account).count("TOKEN_CREATED"), 5)
    token = w.token(account)
    request = {"token_id": token.id, "request_id": w.unique("req")}
    replies = [call() for call in [w.op.start("Rekey", **request) for _ in range(20)]]
    secrets = {reply.secret for reply in replies if reply.ok}
    w.secrets.extend(secrets)
    w.equal("20 rekeys at once: one secret", (len(secrets), {reply.code for reply in replies}), (1, {"OK"}))
    w.not_run("across a restart", "a client cannot restart the server; the server's own tests do")


@rule("another payload: ALREADY_EXISTS, reason REQUEST_ID_REUSED.")
def reused(w):
    account = w.account()
    request = {"account_id": account, "name": "n", "request_id": w.unique("req")}
    made = w.need(w.op.CreateToken(**request))
    w.issued(account, made)
    for change in ({"name": "other"}, {"grants": ["a"]}, {"ttl": span(days=1)}, {"labels": {"a": "b"}}):
        w.refused(f"with {next(iter(change))}", w.op.CreateToken(**{**request, **change}), "ALREADY_EXISTS", "REQUEST_ID_REUSED")
    token = w.token(account)
    rekey = {"token_id": token.id, "request_id": w.unique("req")}
    w.secrets.append(w.need(w.op.Rekey(**rekey)).secret)
    w.refused("Rekey with another grace", w.op.Rekey(**rekey, grace=span(hours=1)), "ALREADY_EXISTS", "REQUEST_ID_REUSED")


@rule("its key is (operator, method, account, request_id)")
def keyed(w):
    account, other = w.account(), w.account()
    request_id = w.unique("req")
    first = w.need(w.op.CreateToken(account_id=account, name="n", request_id=request_id))
    _, second_operator = w.operator(*ALL)
    theirs = second_operator.CreateToken(account_id=account, name="n", request_id=request_id)
    w.check("another operator: another token", theirs.ok and theirs.token.id != first.token.id, theirs)
    elsewhere = w.op.CreateToken(account_id=other, name="n", request_id=request_id)
    w.check("another account: another token", elsewhere.ok and elsewhere.token.id != first.token.id, elsewhere)
    w.ok("another method", w.op.CreateRole(account_id=account, role_id="r", grants=["a"], request_id=request_id))
    w.ok("  and another", w.op.CreatePrincipal(account_id=account, principal_id="p", request_id=request_id))
    rekeyed = w.op.Rekey(token_id=first.token.id, request_id=request_id)
    w.ok("  and Rekey", rekeyed)
    w.secrets.extend(reply.secret for reply in (first, theirs, elsewhere, rekeyed) if reply.ok)


@rule("if the token has been rekeyed, deactivated or deleted since: FAILED_PRECONDITION, no secret.")
def gone(w):
    account = w.account()

    def made():
        request = {"account_id": account, "name": "n", "request_id": w.unique("req")}
        return request, w.issued(account, w.need(w.op.CreateToken(**request)))

    request, token = made()
    w.rekey(token)
    w.refused("rekeyed since", w.op.CreateToken(**request), "FAILED_PRECONDITION", "REPLAY_GONE")
    request, token = made()
    w.need(w.op.DeactivateToken(token_id=token.id))
    w.refused("deactivated since", w.op.CreateToken(**request), "FAILED_PRECONDITION", "REPLAY_GONE")
    w.need(w.op.DeleteToken(token_id=token.id))
    w.refused("deleted since", w.op.CreateToken(**request), "FAILED_PRECONDITION", "REPLAY_GONE")
    request, token = made()
    rekey = {"token_id": token.id, "request_id": w.unique("req")}
    w.secrets.append(w.need(w.op.Rekey(**rekey)).secret)
    w.rekey(token)
    w.refused("Rekey, rekeyed since", w.op.Rekey(**rekey), "FAILED_PRECONDITION", "REPLAY_GONE")
    w.need(w.op.DeactivateToken(token_id=token.id))
    w.need(w.op.DeleteToken(token_id=token.id))
    w.refused("Rekey, deleted since", w.op.Rekey(**rekey), "FAILED_PRECONDITION", "REPLAY_GONE")
    request, token = made()
    w.need(w.set_token(token, name="renamed"))
    w.ok("renamed since: that takes nothing away", w.op.CreateToken(**request))


@rule("(request_id elsewhere) accounts, principals, roles, imports")
def others(w):
    account = w.account()
    cases = {
        "CreateAccount": ({"account_id": w.unique()}, {"display_name": "other"}),
        "CreatePrincipal": ({"account_id": account, "principal_id": "p"}, {"email": "a@b"}),
        "CreateRole": ({"account_id": account, "role_id": "r", "grants": ["a"]}, {"grants": ["b"]}),
    }
    for name, (request, change) in cases.items():
        request["request_id"] = w.unique("req")
        call = getattr(w.op, name)
        first, again = w.need(call(**request)), call(**request)
        w.check(f"{name}: the same answer", again.ok and again.message == first.message, again)
        w.refused(f"{name}: another payload", call(**{**request, **change}), "ALREADY_EXISTS", "REQUEST_ID_REUSED")
    made_up = {"request_id": w.unique("req")}
    first, again = w.need(w.op.CreateAccount(**made_up)), w.need(w.op.CreateAccount(**made_up))
    w.equal("CreateAccount: an id made up is made up once", again.account.id, first.account.id)
    bring = {"token": {"account_id": account, "name": "n", "request_id": w.unique("req")}, "sha256": b"r" * 32}
    first, again = w.need(w.op.ImportToken(**bring)), w.op.ImportToken(**bring)
    w.check("ImportToken: the same answer", again.ok and again.token.id == first.token.id, again)
    w.refused("ImportToken: another digest", w.op.ImportToken(**{**bring, "sha256": b"s" * 32}), "ALREADY_EXISTS", "REQUEST_ID_REUSED")
