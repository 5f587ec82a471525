"""The audit log: one event for each change, chained, filtered, and without a secret."""

from client import instant
from harness import now, rule, span
from text import parts


@rule("Every change and its audit event in one commit")
def every_change(w):
    account = w.account()
    w.need(w.op.CreateAccountKey(account_id=account))
    w.need(w.op.UpdateAccount(account={"id": account, "display_name": "n"}, update_mask=["display_name"]))
    w.equal("of the account", w.event_types(account), ["ACCOUNT_UPDATED", "ACCOUNT_KEY_CREATED", "ACCOUNT_CREATED"])
    role = w.role(account, "a")
    w.need(w.op.UpdateRole(role={"account_id": account, "id": role, "display_name": "n"}, update_mask=["display_name"]))
    w.need(w.op.DeleteRole(account_id=account, role_id=role))
    w.equal("of a role", w.event_types(account, role), ["ROLE_DELETED", "ROLE_UPDATED", "ROLE_CREATED"])
    user = w.principal(account)
    w.need(w.set_principal(account, user, email="a@b"))
    w.equal("of a principal", w.event_types(account, user), ["PRINCIPAL_UPDATED", "PRINCIPAL_CREATED"])
    token = w.token(account)
    w.need(w.set_token(token, name="n"))
    w.rekey(token)
    w.need(w.op.CompleteRekey(token_id=token.id))
    w.rekey(token, activation="ACTIVATION_ON_FIRST_USE")
    w.need(w.op.CancelRekey(token_id=token.id))
    w.need(w.op.DeactivateToken(token_id=token.id, why="the tour is over"))
    w.need(w.op.ReactivateToken(token_id=token.id))
    w.need(w.op.DeactivateToken(token_id=token.id))
    w.need(w.op.DeleteToken(token_id=token.id))
    wanted = "CREATED UPDATED REKEYED . REKEYED . DEACTIVATED REACTIVATED DEACTIVATED DELETED".split()
    wanted = [f"TOKEN_{word}" if word != "." else word for word in wanted]
    wanted[3], wanted[5] = "REKEY_COMPLETED", "REKEY_CANCELLED"
    w.equal("of a token, newest first", w.event_types(account, token.id), wanted[::-1])
    brought = w.need(w.op.ImportToken(token={"account_id": account, "name": "n"}, sha256=b"e" * 32)).token
    w.equal("of an imported one", w.event_types(account, brought.id), ["TOKEN_IMPORTED"])
    why = [event for event in w.events(account, subject_id=token.id) if "the tour is over" in str(event.details)]
    w.equal("a why is in its details", len(why), 1)


@rule("What an event says: when, what, about whom, by whom, from where, in which call")
def what_it_says(w):
    token = w.token(w.account())
    event = w.events(token.account, subject_id=token.id)[0]
    w.equal("account and subject", (event.account_id, event.subject_id), (token.account, token.id))
    w.equal("the actor is the operator's token", event.actor, parts(w.operator_secret)[1])
    w.check("as the token's created_by", w.read(token).created_by == event.actor, w.read(token).created_by)
    w.check("an address", bool(event.actor_address), event)
    w.check("a call id", bool(event.call_id), event)
    w.check("the time", abs(now() - instant(event.time)) < span(seconds=30), event.time)
    w.check("a link of the chain", bool(event.chain) and bool(event.chain_id) and event.chain_index > 0, event)


@rule("newest first, filtered, paged")
def listed(w):
    account = w.account()
    _, other = w.operator("keyward/tokens:write")
    first = w.token(account)
    middle = w.moment()
    second = w.token(account, by=other)
    third = w.token(account)
    subjects = lambda **request: [event.subject_id for event in w.events(account, types=["EVENT_TYPE_TOKEN_CREATED"], **request)]
    w.equal("by type, newest first", subjects(), [third.id, second.id, first.id])
    w.equal("pages of one", subjects(page_size=1), [third.id, second.id, first.id])
    mine = w.events(account)[0].actor
    w.equal("by actor", subjects(actor=mine), [third.id, first.id])
    w.equal("after", subjects(after=middle), [third.id, second.id])
    w.equal("before", subjects(before=middle), [first.id])
    w.equal("by subject", subjects(subject_id=second.id), [second.id])
    sequences = [event.sequence for event in w.events(account)]
    w.equal("by falling sequence", sequences, sorted(set(sequences), reverse=True))
    got, page = [], ""
    for _ in range(100):
        reply = w.need(w.op.ListEvents(account_id=account, page_size=1, page_token=page))
        got.extend(event.sequence for event in reply.events)
        w.token(account)
        page = reply.next_page_token
        if not page or len(got) > 20:
            break
    w.equal("pages do not shift while new ones come", got, sequences)


@rule("refused operator calls are recorded too (bounded)")
def refused(w):
    token, reader = w.operator("keyward/tokens:read")
    denied = lambda: [event for event in w.listed(w.op.ListEvents, "events", types=["EVENT_TYPE_OPERATOR_DENIED"], actor=token.id)]
    for _ in range(30):
        reader.CreateToken(account_id="system", name="n")
    w.until("an event tells of it", lambda: len(denied()) >= 1, within=5)
    w.check("one a minute for each operator and method", len(denied()) <= 2, len(denied()))
    reader.CreateRole(role_id="r", grants=["a"])
    w.until("another method has its own", lambda: len(denied()) >= 2, within=5)


@rule("`VerifyEvents` finds a changed, a removed and a truncated line.")
def verified(w):
    whole = w.op.VerifyEvents()
    w.check("untouched, the chain is intact", whole.ok and whole.intact, whole.message if whole.ok else whole)
    w.check("  and was walked", whole.checked > 10, whole.checked)
    w.equal("  nothing bad", whole.first_bad_sequence, 0)
    newest = w.op.ListEvents(page_size=1).events
    account = w.account()
    sequences = sorted(event.sequence for event in w.events(account))
    part = w.op.VerifyEvents(from_sequence=sequences[0])
    w.check("from a line on", part.ok and part.intact and part.checked < whole.checked, part.message if part.ok else part)
    w.invalid("from after to", w.op.VerifyEvents(from_sequence=2, to_sequence=1), "sequence")
    w.check("unset account: everything that the operator reaches", len(newest) == 1, newest)
    w.not_run("changed, removed, truncated lines", "needs the server's data directory; its own tests do it")
