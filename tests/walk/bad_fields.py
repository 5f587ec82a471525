"""Every field's own rule, at its edge: the last value that is taken and the first that is not."""

from harness import later, rule, span

CONTROL = ("a\nb", "a\tb", "a\x00b", "a\x7fb", "a\u0085b")


def create(w, account, **request):
    return w.op.CreateToken(account_id=account, **{"name": "n", **request})


@rule("name 1–200 characters, no control characters;")
def names(w):
    account = w.account()
    w.ok("1 character", create(w, account, name="n"))
    w.ok("200 characters, not bytes", create(w, account, name="ü" * 200))
    w.invalid("none", create(w, account, name=""), "name")
    w.invalid("only spaces", create(w, account, name="   "), "name")
    w.invalid("201", create(w, account, name="n" * 201), "name")
    for text in CONTROL:
        w.invalid(repr(text), create(w, account, name=text), "name")
    token = w.token(account)
    w.invalid("UpdateToken: none", w.set_token(token, name=""), "name")
    w.invalid("UpdateToken: 201", w.set_token(token, name="n" * 201), "name")
    w.invalid("description 1001", create(w, account, description="d" * 1001), "description")
    w.ok("description 1000", create(w, account, description="d" * 1000))
    w.invalid("an account's display_name of 201", w.op.CreateAccount(display_name="d" * 201), "display_name")
    w.invalid("a principal's with a control character", w.op.CreatePrincipal(account_id=account, display_name="a\nb"), "display_name")
    w.invalid("a role's of 201", w.op.CreateRole(account_id=account, role_id="r", display_name="d" * 201, grants=["a"]), "display_name")
    w.invalid("an email of 255", w.op.CreatePrincipal(account_id=account, email="e@" + "h" * 253), "email")
    for wrong in ("nobody", "@host", "user@", "a b@host"):
        w.invalid(f"an email {wrong!r}", w.op.CreatePrincipal(account_id=account, email=wrong), "email")
    roles = [w.role(account, "a") for _ in range(33)]
    w.ok("32 roles of a principal", w.op.CreatePrincipal(account_id=account, role_ids=roles[:32]))
    w.invalid("33 roles", w.op.CreatePrincipal(account_id=account, role_ids=roles), "role_ids")


@rule("expiry in the future;")
def expiries(w):
    account = w.account()
    w.invalid("an instant ago", create(w, account, expire_time=later(seconds=-1)), "expir")
    w.invalid("1970", create(w, account, expire_time=later(days=-20_000)), "expir")
    w.invalid("ttl 0", create(w, account, ttl=span(0)), "ttl|expir")
    w.invalid("ttl below 0", create(w, account, ttl=span(seconds=-1)), "ttl|expir")
    w.invalid("a ttl that no calendar holds", create(w, account, ttl={"seconds": 315_576_000_001}), "ttl|expir")
    w.invalid("an expire_time out of its range", create(w, account, expire_time={"seconds": 253_402_300_800}), "expir")
    w.invalid("nanos out of their range", create(w, account, expire_time={"seconds": 4_000_000_000, "nanos": -1}), "expir")
    w.invalid("ttl with nanos out of their range", create(w, account, ttl={"seconds": 1, "nanos": 2_000_000_000}), "ttl|expir")
    token = w.token(account)
    w.invalid("UpdateToken: in the past", w.set_token(token, expire_time=later(seconds=-1)), "expir")
    w.ok("UpdateToken: in the future", w.set_token(token, expire_time=later(days=1)))


@rule("At most 64 grants of 200 bytes, 32 labels of 63/256, 32 networks.")
def counted(w):
    account = w.account()
    w.ok("64 grants", create(w, account, grants=[f"r{n}" for n in range(64)]))
    w.invalid("65 grants", create(w, account, grants=[f"r{n}" for n in range(65)]), "grants")
    w.ok("a grant of 200 bytes", create(w, account, grants=["g" * 200]))
    w.invalid("201", create(w, account, grants=["g" * 201]), "grants")
    w.invalid("a role with 65", w.op.CreateRole(account_id=account, role_id="r", grants=[f"r{n}" for n in range(65)]), "grants")
    w.ok("32 labels", create(w, account, labels={f"l{n}": "v" for n in range(32)}))
    w.invalid("33 labels", create(w, account, labels={f"l{n}": "v" for n in range(33)}), "labels")
    w.ok("a label of 63 and 256", create(w, account, labels={"k" * 63: "v" * 256}))
    w.invalid("a key of 64", create(w, account, labels={"k" * 64: "v"}), "labels")
    w.invalid("an empty key", create(w, account, labels={"": "v"}), "labels")
    w.invalid("a value of 257", create(w, account, labels={"k": "v" * 257}), "labels")
    w.ok("32 networks", create(w, account, allowed_networks=[f"10.0.{n}.0/24" for n in range(32)]))
    w.invalid("33 networks", create(w, account, allowed_networks=[f"10.0.{n}.0/24" for n in range(33)]), "allowed_networks")
    token = w.token(account)
    w.invalid("UpdateToken: 65 grants", w.set_token(token, grants=[f"r{n}" for n in range(65)]), "grants")
    w.invalid("UpdateToken: 33 labels", w.set_token(token, labels={f"l{n}": "v" for n in range(33)}), "labels")


@rule("(decided) allowed_networks take CIDR with zero host bits, or a bare address meaning that one host")
def networks(w):
    account = w.account()
    for good in ("10.0.0.0/8", "192.0.2.7/32", "192.0.2.7", "2001:db8::/32", "2001:db8::1", "0.0.0.0/0", "::/0"):
        w.ok(good, create(w, account, allowed_networks=[good]))
    for wrong in ("10.0.0.1/8", "10.0.0.0/33", "300.0.0.1", "2001:db8::1/32", "::/129", "localhost", "", "10.0.0.0/", "10/8", " 10.0.0.0/8"):
        w.invalid(repr(wrong), create(w, account, allowed_networks=[wrong]), "allowed_networks")


@rule("(decided) account ids [a-z0-9-]{3,40}; principal and role ids [A-Za-z0-9._-]{1,64}")
def ids(w):
    name = lambda length: (w.unique("w") + "x" * 64)[:length]
    w.ok("an account id of 40", w.op.CreateAccount(account_id=name(40)))
    for wrong in ("ab", name(41), "Capital", "under_score", "dot.ted", "with space", "ümlaut", "a/b"):
        w.invalid(f"account {wrong!r}", w.op.CreateAccount(account_id=wrong), "account_id")
    account = w.account()
    for good in ("a", "A.b_c-9", "x" * 64):
        w.ok(f"principal {good[:10]!r}", w.op.CreatePrincipal(account_id=account, principal_id=good))
        w.ok(f"role {good[:10]!r}", w.op.CreateRole(account_id=account, role_id=good, grants=["a"]))
    for wrong in ("x" * 65, "a/b", "a b", "ü", "a@b", "\n"):
        w.invalid(f"principal {wrong[:10]!r}", w.op.CreatePrincipal(account_id=account, principal_id=wrong), "principal_id")
        w.invalid(f"role {wrong[:10]!r}", w.op.CreateRole(account_id=account, role_id=wrong, grants=["a"]), "role_id")
    made = w.need(w.op.CreatePrincipal(account_id=account)).principal.id
    w.check("a principal's id is made up when unset", 1 <= len(made) <= 64, made)


@rule("grace: at most 30 days; enums: the values that there are; request_id: 1–128 printable characters")
def others(w):
    account = w.account()
    token = w.token(account)
    rekey = lambda **request: w.op.Rekey(token_id=token.id, **request)
    w.ok("a grace of 30 days", rekey(grace=span(days=30)))
    w.invalid("30 days and a second", rekey(grace=span(days=30, seconds=1)), "grace")
    w.invalid("below 0", rekey(grace=span(seconds=-1)), "grace")
    w.invalid("an activation that is not there", rekey(activation=9), "activation")
    w.invalid("an access that is not there", create(w, account, access=9), "access")
    w.invalid("a principal's state that is not there", w.op.CreatePrincipal(account_id=account, state=9), "state")
    w.invalid("a state to list that is not there", w.op.ListTokens(account_id=account, states=[9]), "states")
    w.invalid("a type of event that is not there", w.op.ListEvents(account_id=account, types=[999]), "types")
    w.ok("a request_id of 128", create(w, account, request_id=(w.unique() + "x" * 128)[:128]))
    w.invalid("129", create(w, account, request_id="x" * 129), "request_id")
    for text in ("a\nb", "a\x00b", "ü\u0007"):
        w.invalid(f"request_id {text!r}", create(w, account, request_id=text), "request_id")
    w.invalid("why of 1001", w.op.DeactivateToken(token_id=token.id, why="w" * 1001), "why")
    w.invalid("a scope outside system", create(w, account, scope_account_id=account), "scope_account_id")


@rule("policy: durations not below 0, known rules, known presets")
def policies(w):
    create = lambda **request: w.op.CreateAccount(account_id=w.unique(), **request)
    for preset in ("nonsense", "", "Standard", "standard "):
        w.invalid(f"preset {preset!r}", create(preset=preset), "preset")
    w.invalid("rekey_grace below 0", create(policy={"rekey_grace": span(seconds=-1)}), "rekey_grace")
    w.invalid("rekey_grace over 30 days", create(policy={"rekey_grace": span(days=31)}), "rekey_grace")
    w.invalid("max_lifetime 0", create(policy={"max_lifetime": span(0)}), "max_lifetime")
    w.invalid("max_lifetime below 0", create(policy={"max_lifetime": span(seconds=-1)}), "max_lifetime")
    w.invalid("a principal_rule that is not there", create(policy={"principal_rule": 9}), "principal_rule")


@rule("what is presented beside the credentials")
def validation(w):
    token = w.token(w.account())
    ask = lambda **request: w.validate(token.secret, **request)
    for wrong in ("nonsense", "300.1.1.1", "10.0.0.0/8", "10.0.0.1:80", "[::1]"):
        w.invalid(f"client_address {wrong!r}", ask(client_address=wrong), "client_address")
    for good in ("192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"):
        w.allowed(f"client_address {good}", ask(client_address=good))
    w.invalid("a permission without a resource", ask(required={"action": "read"}), "resource")
    w.invalid("an empty permission", ask(required={}), "resource")
    for wrong in ("a//b", "/a", "a/", "a b", "a/*", "*", "a:b", "ü", "r" * 201):
        w.invalid(f"resource {wrong[:10]!r}", ask(required={"resource": wrong}), "resource")
    for wrong in ("re ad", "read,write", "*", "a:b"):
        w.invalid(f"action {wrong!r}", ask(required={"resource": "a", "action": wrong}), "action")


@rule("imports: a digest of 32 bytes, a hint of at most four characters")
def imported(w):
    account = w.account()
    bring = lambda **request: w.op.ImportToken(token={"account_id": account, "name": "n"}, **{"sha256": b"d" * 32, **request})
    for wrong in (b"", b"d" * 31, b"d" * 33):
        w.invalid(f"{len(wrong)} bytes", bring(sha256=wrong), "sha256")
    w.invalid("a hint of five", bring(hint="abcde"), "hint")
    w.invalid("a foreign_id of 129 bytes", bring(foreign_id="f" * 129), "foreign_id")
    w.invalid("a foreign_id with a colon (no Basic has it)", bring(foreign_id="a:b"), "foreign_id")
    nameless = w.op.ImportToken(token={"account_id": account}, sha256=b"d" * 32)
    w.invalid("the token's own rules", nameless, "name")
    w.equal("none was taken", len(w.op.ListTokens(account_id=account).tokens), 0)
