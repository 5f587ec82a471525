"""*Fine print*, Grants: what they look like, and what they cover."""

from harness import rule

COVERED = {
    # grant: (what it covers, what it does not), as resource or resource:action
    "dispatch": (["dispatch", "dispatch:read", "dispatch:write"], ["dispatch/x", "dispatc", "Dispatch", "other"]),
    "tables/orders:read": (["tables/orders:read"], ["tables/orders:write", "tables/orders", "tables:read", "tables/orders/x:read"]),
    "tables/orders:read,write": (["tables/orders:read", "tables/orders:write"], ["tables/orders:delete", "tables/orders"]),
    "tables/*:read,write": (["tables/a:read", "tables/a/b:write", "tables/a/b/c/d:read"], ["tables:read", "tables/a:delete", "tables/a", "tablesx/a:read"]),
    "tables/*": (["tables/a", "tables/a:read", "tables/a/b"], ["tables", "tables:read", "other"]),
    "*": (["dispatch", "tables/orders", "a/b/c:write", "x.y_z-1:read"], ["keyward/tokens:read"]),
    "a/b/*": (["a/b/c", "a/b/c/d"], ["a/b", "a/c", "a"]),
}


def asked(text):
    resource, _, action = text.partition(":")
    return {"resource": resource, "action": action}


@rule("`resource` alone: every action; `resource:a,b`: those; `*`: every application grant. `*` only as a last segment, for one or more. Without an action only an action-less grant matches.")
def covered(w):
    account = w.account()
    for grant, (covers, does_not) in COVERED.items():
        token = w.token(account, grants=[grant])
        for text in covers:
            w.allowed(f"{grant} covers {text}", w.validate(token.secret, required=asked(text)))
        for text in does_not:
            w.denied(f"{grant} does not cover {text}", w.validate(token.secret, required=asked(text)), "PERMISSION_DENIED")
    several = w.token(account, grants=["a:read", "b/*:write", "c"])
    for text in ("a:read", "b/x:write", "c"):
        w.allowed(f"one of several covers {text}", w.validate(several.secret, required=asked(text)))
    w.denied("none covers a:write", w.validate(several.secret, required=asked("a:write")), "PERMISSION_DENIED")
    w.allowed("nothing required", w.validate(several.secret))


@rule("resource = segments `[A-Za-z0-9._-]+` joined by `/`")
def shape(w):
    account = w.account()
    good = ["a", "A.b_c-9", "a/b/c", "a/*", "*", "a:read", "a/*:read,write", "..", "keywards/x", "Keyward/x"]
    for grant in good:
        w.ok(f"{grant!r}", w.op.CreateToken(account_id=account, name="n", grants=[grant]))
    wrong = ["", "/", "a/", "/a", "a//b", "a b", "*/a", "a/*/b", "a*", "ta*/x", "**", "a:", ":read", "a:read,", "a:,read", "a:b:c", "ü", "a\n", "a/ b", "a:re ad", "a;b"]
    for grant in wrong:
        w.invalid(f"{grant!r} on a token", w.op.CreateToken(account_id=account, name="n", grants=[grant]), "grants")
        w.invalid(f"{grant!r} in a role", w.op.CreateRole(account_id=account, role_id=w.unique("r"), grants=["ok", grant]), "grants")


@rule("READ_ONLY passes only the action `read`.")
def read_only(w):
    token = w.token(w.account(), access="ACCESS_READ_ONLY", grants=["a", "b:write"])
    w.allowed("a:read", w.validate(token.secret, required=asked("a:read")))
    for text in ("a:write", "a", "a:reader", "a:READ", "b:write"):
        w.denied(text, w.validate(token.secret, required=asked(text)), "READ_ONLY")
    w.denied("the missing grant comes first", w.validate(token.secret, required=asked("c:write")), "PERMISSION_DENIED")


@rule("Effective = the token's ∩ (ENFORCED) the union of its principal's roles; empty token grants: all that the principal may, and under NONE and ATTRIBUTION every application grant.")
def effective(w):
    account = w.account(policy={"principal_rule": "PRINCIPAL_RULE_ENFORCED"})
    user = w.api_user(account, w.role(account, "tables/*:read,write", "dispatch"), w.role(account, "reports:read"))
    ask = lambda token, text: w.validate(token.secret, required=asked(text), with_grants=True)
    mixed = w.token(account, principal_id=user, grants=["tables/orders", "reports", "crew"])
    w.allowed("tables/orders:read is in both", ask(mixed, "tables/orders:read"))
    w.denied("tables/orders without action: the role has actions only", ask(mixed, "tables/orders"), "PERMISSION_DENIED")
    w.allowed("reports:read is in both", ask(mixed, "reports:read"))
    w.denied("reports:write: not in the role", ask(mixed, "reports:write"), "PERMISSION_DENIED")
    w.denied("crew: not in a role", ask(mixed, "crew"), "PERMISSION_DENIED")
    w.denied("dispatch: not on the token", ask(mixed, "dispatch"), "PERMISSION_DENIED")
    told = sorted(w.validate(mixed.secret, with_grants=True).grants)
    w.equal("told with_grants", told, ["reports:read", "tables/orders:read,write"])
    w.equal("told in a dry run", sorted(w.validate(mixed.secret, dry_run=True).grants), told)
    w.equal("not told otherwise", list(w.validate(mixed.secret).grants), [])
    w.equal("not told with DENY", list(ask(mixed, "crew").grants), [])
    empty = w.token(account, principal_id=user)
    for text in ("tables/a/b:write", "dispatch", "reports:read"):
        w.allowed(f"empty: {text}", ask(empty, text))
    w.denied("empty: crew", ask(empty, "crew"), "PERMISSION_DENIED")
    alone = w.token(w.account())
    w.allowed("NONE, empty: anything", ask(alone, "any/thing:at-all"))
