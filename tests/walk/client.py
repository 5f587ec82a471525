"""A gRPC client that knows nothing but what the server's reflection tells it: no generated code of Keyward's.

A call takes its request as keyword arguments and gives a Reply, for errors too.
"""

import datetime
import queue
import threading

import grpc
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

SERVICES = tuple(f"keyward.v1.{name}Service" for name in ("Credential", "Directory", "Event", "Usage"))
CALL_SECONDS = 20
# The disk was slow: nothing was decided, and the server asks to come again.
WAITS = ("CALLS_NOT_LEASED", "SLOTS_NOT_LEASED")


class Server:
    """One server: its channel, its reflected types, and everything that it ever answered."""

    def __init__(self, address):
        self.address = address
        self.channel = grpc.insecure_channel(address)
        self.database = ProtoReflectionDescriptorDatabase(self.channel)
        self.pool = descriptor_pool.DescriptorPool(self.database)
        self.methods = {
            method.name: method for name in SERVICES for method in self.pool.FindServiceByName(name).methods
        }
        self.replies = []
        self._lock = threading.Lock()

    def message(self, full_name):
        return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(full_name))

    def enum(self, full_name, number):
        value = self.pool.FindEnumTypeByName(full_name).values_by_number.get(number)
        return value.name if value else f"{full_name} {number}"

    def keep(self, reply):
        with self._lock:
            self.replies.append(reply)


class Client:
    """Calls a server as one operator, or as nobody. Every rpc is a method of the same name."""

    def __init__(self, server, authorization=None):
        self.server = server
        self.metadata = [("authorization", authorization)] if authorization else []

    def __getattr__(self, name):
        if name not in self.server.methods:
            raise AttributeError(f"the server reflects no rpc {name}")
        return lambda **request: self.start(name, **request)()

    def start(self, name, /, **request):
        """Sends the call now; the answer is fetched by calling what comes back."""
        method = self.server.methods[name]
        message = message_factory.GetMessageClass(method.input_type)()
        fill(message, request)
        return self.start_raw(name, message.SerializeToString())

    def start_raw(self, name, payload):
        """The same with the request as bytes; also for methods that are not there."""
        method = self.server.methods.get(name)
        if method and method.server_streaming:
            return lambda: self.first(name, payload)
        service = method.containing_service.full_name if method else SERVICES[0]
        rpc = self.server.channel.unary_unary(
            f"/{service}/{name}",
            request_serializer=lambda raw: raw,
            response_deserializer=message_factory.GetMessageClass(method.output_type).FromString if method else None,
        )
        send = lambda: rpc.future(payload, metadata=self.metadata, timeout=CALL_SECONDS)
        pending = send()

        def finish():
            reply = self.answer(name, pending)
            for _ in range(20):
                if reply.error_reason not in WAITS:
                    break
                reply = self.answer(name, send())
            return reply

        return finish


    def answer(self, name, pending):
        try:
            reply = Reply(self.server, name, message=pending.result())
        except grpc.RpcError as error:
            reply = Reply(self.server, name, error=error)
        self.server.keep(reply)
        return reply

    def first(self, name, payload):
        """The first answer of a stream, which is left then."""
        stream = Stream(self, name, [payload])
        reply = stream.next()
        stream.leave()
        return reply

    def open(self, name, /, **request):
        """A stream of answers to one request."""
        message = message_factory.GetMessageClass(self.server.methods[name].input_type)()
        fill(message, request)
        return Stream(self, name, [message.SerializeToString()])

    def talk(self, name, requests):
        """A stream of answers to several requests."""
        kind = message_factory.GetMessageClass(self.server.methods[name].input_type)
        messages = [kind() for _ in requests]
        for message, request in zip(messages, requests):
            fill(message, request)
        return Stream(self, name, [message.SerializeToString() for message in messages])


class Stream:
    """An open stream: its answers as they come, one Reply each, its end as the last one."""

    def __init__(self, client, name, payloads):
        self.server, self.name = client.server, name
        method = client.server.methods[name]
        channel, path = client.server.channel, f"/{method.containing_service.full_name}/{name}"
        rpc = channel.stream_stream if method.client_streaming else channel.unary_stream
        decode = message_factory.GetMessageClass(method.output_type).FromString
        call = rpc(path, request_serializer=lambda raw: raw, response_deserializer=decode)
        self.call = call(iter(payloads) if method.client_streaming else payloads[0], metadata=client.metadata)
        self.answers = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        try:
            for message in self.call:
                self.answers.put(Reply(self.server, self.name, message=message))
            self.answers.put(None)
        except grpc.RpcError as error:
            self.answers.put(Reply(self.server, self.name, error=error))

    def next(self, within=CALL_SECONDS):
        """The next answer; None at an orderly end, and where none comes in time."""
        try:
            reply = self.answers.get(timeout=within)
        except queue.Empty:
            return None
        if reply is not None:
            self.server.keep(reply)
        return reply

    def until(self, wanted, within=CALL_SECONDS):
        """The first answer that is wanted; None where it does not come. Others before it are passed over."""
        end = datetime.datetime.now() + datetime.timedelta(seconds=within)
        while (left := (end - datetime.datetime.now()).total_seconds()) > 0:
            reply = self.next(left)
            if reply is None or not reply.ok or wanted(reply):
                return reply
        return None

    def leave(self):
        self.call.cancel()


class Reply:
    """What came back: a message, or a status with its rich details."""

    def __init__(self, server, method, message=None, error=None):
        self.server, self.method, self.message = server, method, message
        self.code = error.code().name if error else "OK"
        self.text = error.details() or "" if error else ""
        self.details = {}
        if error:
            self._read_details(error)

    def _read_details(self, error):
        packed = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
        if packed is None:
            return
        for detail in self.server.message("google.rpc.Status").FromString(packed).details:
            name = detail.type_url.rsplit("/", 1)[-1]
            self.details[name.rsplit(".", 1)[-1]] = self.server.message(name).FromString(detail.value)

    def __getattr__(self, name):
        if self.message is None:
            raise AttributeError(f"{self.method} gave {self}, not a message with {name}")
        return getattr(self.message, name)

    @property
    def ok(self):
        return self.message is not None

    @property
    def error_reason(self):
        return self.details["ErrorInfo"].reason if "ErrorInfo" in self.details else ""

    @property
    def fields(self):
        """The fields that a BadRequest names."""
        bad = self.details.get("BadRequest")
        return [violation.field for violation in bad.field_violations] if bad else []

    @property
    def verdict(self):
        """ALLOW, or the reason of a DENY: of a validation, of the first of many, of a held connection. None of what decides nothing."""
        answer = self.answer
        if answer is None:
            return None
        decision = self.server.enum("keyward.v1.Decision", answer.decision)
        if decision == "DECISION_DENY":
            return self.server.enum("keyward.v1.DenyReason", answer.reason).removeprefix("DENY_REASON_")
        return decision.removeprefix("DECISION_")

    @property
    def answer(self):
        """What was decided, wherever it stands in the message."""
        message = self.message
        if self.method == "BatchValidateCredentials":
            message = message.items[0]
        if self.method in ("StreamValidateCredentials", "BatchValidateCredentials", "HoldConnection"):
            return message.response
        return message if self.method == "ValidateCredentials" else None

    def __str__(self):
        if self.ok and self.answer is not None:
            return f"{self.verdict}: {self.answer.detail}"
        if self.ok:
            return "OK"
        more = f" {self.error_reason or 'no ErrorInfo'}" + (f" {self.fields}" if self.fields else "")
        return f"{self.code}{more}: {self.text[:160]}"


def fill(message, values):
    """Sets a message's fields from plain values: enums by name, times as datetime, durations as timedelta, masks as lists."""
    for name, value in values.items():
        field = message.DESCRIPTOR.fields_by_name[name]
        if value is None:
            continue
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            getattr(message, name).update(value)
        elif field.is_repeated:
            for item in value:
                if field.message_type is not None:
                    fill_one(getattr(message, name).add(), item)
                else:
                    getattr(message, name).append(number_of(field, item))
        elif field.message_type is not None:
            part = getattr(message, name)
            part.SetInParent()
            fill_one(part, value)
        else:
            setattr(message, name, number_of(field, value))


def fill_one(part, value):
    if isinstance(value, dict):
        fill(part, value)
    elif isinstance(value, datetime.datetime):
        micros = round((value - EPOCH) / datetime.timedelta(microseconds=1))
        part.seconds, part.nanos = micros // 1_000_000, micros % 1_000_000 * 1_000
    elif isinstance(value, datetime.timedelta):
        micros = round(value / datetime.timedelta(microseconds=1))
        sign = -1 if micros < 0 else 1
        part.seconds, part.nanos = sign * (abs(micros) // 1_000_000), sign * (abs(micros) % 1_000_000 * 1_000)
    elif isinstance(value, list):
        part.paths.extend(value)
    else:
        part.CopyFrom(value)


def number_of(field, value):
    if field.type == FieldDescriptor.TYPE_ENUM and isinstance(value, str):
        return field.enum_type.values_by_name[value].number
    return value


EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def instant(timestamp):
    """A reflected Timestamp as a datetime."""
    return EPOCH + datetime.timedelta(seconds=timestamp.seconds, microseconds=timestamp.nanos // 1_000)
