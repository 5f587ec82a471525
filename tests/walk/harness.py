"""What every story stands on: the rules registered, the checks counted, and the small world that they make for themselves."""

import datetime
import itertools
import os
import time
import traceback
from dataclasses import dataclass, field

from client import Client

RULES = []
UTC = datetime.timezone.utc


def rule(quote):
    """Registers a function that walks one sentence of the design, quoted."""

    def register(walk):
        RULES.append((walk.__module__, quote, walk))
        return walk

    return register


def later(**span):
    return now() + datetime.timedelta(**span)


def now():
    return datetime.datetime.now(UTC)


def span(seconds=0, **more):
    return datetime.timedelta(seconds=seconds, **more)


@dataclass
class Issued:
    """A token together with the secret that its creation showed."""

    account: str
    token: object
    secret: str
    basic: str

    @property
    def id(self):
        return self.token.id


@dataclass
class Walk:
    """One walk: the server, its first operator, and the score."""

    server: object
    operator_secret: str
    environment: str
    side: str = ""
    passed: int = 0
    failed: int = 0
    left_out: int = 0
    secrets: list = field(default_factory=list)

    def __post_init__(self):
        self._count = itertools.count(1)
        self._run = os.urandom(3).hex()
        self.op = Client(self.server, f"Bearer {self.operator_secret}")
        self.nobody = Client(self.server)
        self.secrets.append(self.operator_secret)

    # --- the score

    def run(self, only=""):
        for module, quote, walk in RULES:
            if only and only not in f"{module}.{walk.__name__}":
                continue
            print(f"\n{module}: {quote}")
            try:
                walk(self)
            except Exception as error:  # a story that breaks is a failure of its own; the others go on
                where = traceback.extract_tb(error.__traceback__)[1]
                self.check(f"{walk.__name__} runs to its end", False, f"line {where.lineno}: {type(error).__name__}: {error}")

    def check(self, what, good, came=""):
        if good:
            self.passed += 1
            print(f"  ok    {what}")
        else:
            self.failed += 1
            print(f"  FAIL  {what}  <- {came}")
        return good

    def not_run(self, what, why):
        self.left_out += 1
        print(f"  not run: {what} ({why})")

    def equal(self, what, came, wanted):
        return self.check(what, came == wanted, f"{came!r}, wanted {wanted!r}")

    def ok(self, what, reply):
        return self.check(what, reply.ok, reply)

    def refused(self, what, reply, code, reason=None, names=None):
        """An error with this code, an ErrorInfo of ours with one of these reasons, and a BadRequest that names the field."""
        reasons = reason.split("|") if reason else []
        good = reply.code in code.split("|") and reply.details.get("ErrorInfo") is not None
        good = good and reply.details["ErrorInfo"].domain == "keyward.v1"
        good = good and (not reasons or reply.error_reason in reasons)
        if names is not None:
            good = good and any(wanted in name for wanted in names.split("|") for name in reply.fields)
        return self.check(what, good, f"{reply}, wanted {code} {reason or ''} {names or ''}")

    def invalid(self, what, reply, names):
        return self.refused(what, reply, "INVALID_ARGUMENT", "INVALID_FIELD", names)

    def bad_mask(self, what, reply, path):
        return self.invalid(what, reply, f"mask|{path}")

    def allowed(self, what, reply):
        return self.check(what, reply.ok and reply.verdict == "ALLOW", reply)

    def denied(self, what, reply, reason):
        good = reply.ok and reply.verdict in reason.split("|")
        return self.check(what, good, f"{reply}, wanted {reason}")

    def until(self, what, condition, within=6.0):
        """For what needs time to pass: asks again and again, at most this many seconds."""
        end = time.monotonic() + within
        while not (good := condition()) and time.monotonic() < end:
            time.sleep(0.05)
        return self.check(what, good, f"not within {within} s")

    def moment(self):
        """A time that is later, by whole milliseconds, than what was done before and earlier than what comes."""
        before = now()
        while now() < before + span(milliseconds=10):
            pass
        return before + span(milliseconds=5)

    def daylight(self, seconds=60):
        """Whether the UTC day lasts a while longer."""
        return (now() + span(seconds)).date() == now().date()

    # --- the world

    def unique(self, word="walk"):
        return f"{word}-{self._run}-{next(self._count)}"

    def as_(self, secret):
        return Client(self.server, f"Bearer {secret}")

    def account(self, preset=None, policy=None, key=False):
        """A new account; with `key` also its account key: then (id, key)."""
        made = self.need(self.op.CreateAccount(account_id=self.unique(), preset=preset, policy=policy)).account
        if not key:
            return made.id
        return made.id, self.need(self.op.CreateAccountKey(account_id=made.id)).account.account_key

    def role(self, account, *grants):
        return self.need(self.op.CreateRole(account_id=account, role_id=self.unique("role"), grants=grants)).role.id

    def principal(self, account, state="PRINCIPAL_STATE_ACTIVE", **more):
        request = {"principal_id": self.unique("user"), "display_name": "A user", "state": state, **more}
        return self.need(self.op.CreatePrincipal(account_id=account, **request)).principal.id

    def api_user(self, account, *roles):
        return self.principal(account, api_user=True, role_ids=roles)

    def token(self, account, by=None, **request):
        made = self.need((by or self.op).CreateToken(account_id=account, **{"name": "A token", **request}))
        return self.issued(account, made)

    def issued(self, account, made):
        self.secrets.append(made.secret)
        return Issued(account, made.token, made.secret, made.basic_authorization)

    def rekey(self, token, **request):
        made = self.need(self.op.Rekey(token_id=token.id, **request))
        return self.issued(token.account, made), made

    def operator(self, *grants, scope=None, **more):
        """A new operator: its token and a client that calls as it."""
        issued = self.token("system", name="An operator", grants=grants, scope_account_id=scope, **more)
        return issued, self.as_(issued.secret)

    def validate(self, secret=None, by=None, **request):
        if secret is not None:
            request["authorization"] = f"Bearer {secret}"
        return (by or self.op).ValidateCredentials(**request)

    def read(self, token):
        return self.need(self.op.GetToken(token_id=token.id)).token

    def disable(self, account, disabled=True):
        self.need(self.op.UpdateAccount(account={"id": account, "disabled": disabled}, update_mask=["disabled"]))

    def set_principal(self, account, principal, **values):
        request = {"account_id": account, "id": principal, **values}
        return self.op.UpdatePrincipal(principal=request, update_mask=list(values))

    def set_token(self, token, **values):
        return self.op.UpdateToken(token={"id": token.id, **values}, update_mask=list(values))

    def need(self, reply):
        """What a story cannot go on without."""
        if not reply.ok:
            raise RuntimeError(f"{reply.method}: {reply}")
        return reply

    def expired(self, account, **request):
        """A token whose expiry has come."""
        token = self.token(account, **{"expire_time": later(seconds=1), **request})
        self.wait_expired(token)
        return token

    def wait_expired(self, token):
        end = time.monotonic() + 10
        while self.state(token) != "EXPIRED":
            if time.monotonic() > end:
                raise RuntimeError("a token with an expiry one second ahead did not expire")
            time.sleep(0.05)

    def state(self, token):
        return self.server.enum("keyward.v1.TokenState", self.read(token).state).removeprefix("TOKEN_STATE_")

    def secret_states(self, token):
        states = (self.server.enum("keyward.v1.SecretState", secret.state) for secret in self.read(token).secrets)
        return sorted(state.removeprefix("SECRET_STATE_") for state in states)

    def listed(self, call, items, **request):
        """Every item of a list, page after page."""
        got, page = [], ""
        for _ in range(10_000):
            reply = self.need(call(page_token=page, **request))
            got.extend(getattr(reply, items))
            page = reply.next_page_token
            if not page:
                return got
        raise RuntimeError("a list without an end")

    def events(self, account, **request):
        return self.listed(self.op.ListEvents, "events", account_id=account, **request)

    def event_types(self, account, subject=""):
        events = self.events(account, subject_id=subject)
        return [self.server.enum("keyward.v1.EventType", event.type).removeprefix("EVENT_TYPE_") for event in events]
