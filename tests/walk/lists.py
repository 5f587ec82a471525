"""Lists: filters, and pages that hold while others come and go."""

from harness import later, rule, span


@rule("list (every filter of the contract but `unused_since`, … expired ones included)")
def filters(w):
    account = w.account()
    user = w.principal(account)
    plain = w.token(account, name="alpha one")
    named = w.token(account, name="alpha two", principal_id=user)
    labelled = w.token(account, name="beta", labels={"team": "a", "stage": "x"})
    other = w.token(account, name="Alpha", labels={"team": "a"}, expire_time=later(days=3))
    off = w.token(account, name="off")
    w.need(w.op.DeactivateToken(token_id=off.id))
    dead = w.expired(account, name="dead")

    def lists(what, wanted, **request):
        found = {token.id for token in w.listed(w.op.ListTokens, "tokens", account_id=account, **request)}
        w.equal(what, found, {token.id for token in wanted})

    everything = [plain, named, labelled, other, off, dead]
    lists("no filter: all, dead ones too", everything)
    lists("ACTIVE", [plain, named, labelled, other], states=["TOKEN_STATE_ACTIVE"])
    lists("INACTIVE", [off], states=["TOKEN_STATE_INACTIVE"])
    lists("EXPIRED", [dead], states=["TOKEN_STATE_EXPIRED"])
    lists("any of two states", [off, dead], states=["TOKEN_STATE_INACTIVE", "TOKEN_STATE_EXPIRED"])
    lists("principal_id", [named], principal_id=user)
    lists("a principal that is not there", [], principal_id="nobody")
    lists("name_prefix", [plain, named], name_prefix="alpha")
    lists("  case counts", [other], name_prefix="Alpha")
    lists("expire_before", [other, dead], expire_before=later(days=7))
    lists("expire_before, earlier", [dead], expire_before=later(days=1))
    lists("one label", [labelled, other], labels={"team": "a"})
    lists("two labels", [labelled], labels={"team": "a", "stage": "x"})
    lists("a label with another value", [], labels={"team": "b"})
    lists("filters add up", [other], labels={"team": "a"}, expire_before=later(days=7))
    for size in (1, 2, 3):
        lists(f"pages of {size} with a filter", [labelled, other], labels={"team": "a"}, page_size=size)
    w.equal("another account has none", len(w.op.ListTokens(account_id=w.account()).tokens), 0)


@rule("stable paging under inserts and deletes")
def stable(w):
    account = w.account()
    tokens = [w.token(account, name=f"t{number}") for number in range(24)]
    ids = sorted(token.id for token in tokens)
    listed = [token.id for token in w.listed(w.op.ListTokens, "tokens", account_id=account, page_size=5)]
    w.equal("by id, each once", listed, ids)
    got, page, turn, gone = [], "", 0, set()
    while True:
        reply = w.need(w.op.ListTokens(account_id=account, page_size=5, page_token=page))
        got.extend(token.id for token in reply.tokens)
        page = reply.next_page_token
        if not page:
            break
        w.token(account, name="newcomer")
        victim = (set(ids) - gone - {got[-1]}).pop() if turn % 2 else got[-1]
        w.need(w.op.DeactivateToken(token_id=victim))
        w.need(w.op.DeleteToken(token_id=victim))
        gone.add(victim)
        turn += 1
    w.equal("while others come and go: none twice", len(got), len(set(got)))
    w.check("  none skipped that stayed", set(ids) - gone <= set(got), set(ids) - gone - set(got))
    w.equal("  in order", got, sorted(got))


@rule("page_size default 50, at most 1000")
def sizes(w):
    account = w.account()
    replies = [call() for call in [w.op.start("CreateRole", account_id=account, role_id=f"r{n:03}", grants=["a"]) for n in range(60)]]
    w.equal("60 roles are made", sum(reply.ok for reply in replies), 60)
    w.equal("0: 50", len(w.op.ListRoles(account_id=account).roles), 50)
    w.check("1000: at most that", len(w.op.ListRoles(account_id=account, page_size=1000).roles) == 60, "not all")
    ids = [role.id for role in w.listed(w.op.ListRoles, "roles", account_id=account, page_size=7)]
    w.equal("roles by id, each once", ids, [f"r{n:03}" for n in range(60)])
    last = w.op.ListRoles(account_id=account, page_size=60)
    rest = w.listed(w.op.ListRoles, "roles", account_id=account, page_size=60)
    w.equal("a full last page ends", len(rest), len(last.roles))


@rule("principals and accounts are listed, too")
def others(w):
    account = w.account()
    plain, user = w.principal(account), w.api_user(account)
    ids = lambda **request: [p.id for p in w.listed(w.op.ListPrincipals, "principals", account_id=account, **request)]
    w.equal("principals by id", ids(), sorted([plain, user]))
    w.equal("api_users_only", ids(api_users_only=True), [user])
    w.equal("pages of one", ids(page_size=1), sorted([plain, user]))
    made = {w.account() for _ in range(3)}
    accounts = [a.id for a in w.listed(w.op.ListAccounts, "accounts", page_size=10)]
    w.check("accounts: those made, and system", made | {"system"} <= set(accounts), made - set(accounts))
    w.equal("by id, each once", accounts, sorted(set(accounts)))


@rule("(fields come back as they were given)")
def fields(w):
    account = w.account()
    token = w.token(account, name="n", description="d", grants=["b", "a"], labels={"k": "v"}, allowed_networks=["10.0.0.0/8"], ttl=span(days=1))
    shown = w.op.ListTokens(account_id=account).tokens[0]
    w.equal("ListTokens shows what GetToken does", shown, w.read(token))
    w.equal("CreateToken, too", token.token, shown)
    w.equal("grants keep their order", list(shown.grants), ["b", "a"])
    made = w.need(w.op.CreatePrincipal(account_id=account, display_name="Ünï", email="u@example.org")).principal
    w.equal("a principal", (made.display_name, made.email, made.account_id), ("Ünï", "u@example.org", account))
    role = w.need(w.op.CreateRole(account_id=account, role_id="r", display_name="R", grants=["x:read", "y"])).role
    w.equal("a role", (role.display_name, list(role.grants)), ("R", ["x:read", "y"]))
