"""What stands around the service: health, reflection, types of errors."""

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from client import SERVICES
from harness import rule

SERVING = health_pb2.HealthCheckResponse.SERVING


def check_names(w, channel, where):
    stub = health_pb2_grpc.HealthStub(channel)
    for name in ("", *SERVICES, "readiness", "liveness", "keyward.v1.writes"):
        try:
            status = stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=5).status
            w.check(f"{where}: {name or 'the whole server'} is SERVING", status == SERVING, status)
        except grpc.RpcError as error:
            w.check(f"{where}: {name or 'the whole server'} is SERVING", False, error.code())
    try:
        w.check(f"{where}: an unknown name", False, stub.Check(health_pb2.HealthCheckRequest(service="no.such"), timeout=5))
    except grpc.RpcError as error:
        w.equal(f"{where}: an unknown name", error.code().name, "NOT_FOUND")
    watch = stub.Watch(health_pb2.HealthCheckRequest(service="keyward.v1.CredentialService"), timeout=5)
    w.equal(f"{where}: Watch tells the state at once", next(watch).status, SERVING)
    watch.cancel()
    watch = stub.Watch(health_pb2.HealthCheckRequest(service="no.such"), timeout=1)
    try:
        status = next(watch).status
        w.equal(f"{where}: Watch of an unknown name says SERVICE_UNKNOWN", status, health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)
        next(watch)
        w.check(f"{where}: and stays open", False, "a second message")
    except grpc.RpcError as error:
        w.equal(f"{where}: and stays open until our deadline", error.code().name, "DEADLINE_EXCEEDED")


@rule("Health (whole server, per service, readiness apart from liveness) … Health and reflection need no token")
def health(w):
    check_names(w, w.server.channel, "main")
    if w.side:
        check_names(w, grpc.insecure_channel(w.side), "side")
    else:
        w.not_run("the side listener's health", "no --side given")


def ask_reflection(w, version, **request):
    rpc = w.server.channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    return next(rpc(iter([reflection_pb2.ServerReflectionRequest(**request)]), timeout=5))


@rule("reflection v1 and v1alpha with the error types registered")
def reflection(w):
    for version in ("v1", "v1alpha"):
        answer = ask_reflection(w, version, list_services="")
        names = {service.name for service in answer.list_services_response.service}
        w.check(f"{version} lists the three services", set(SERVICES) <= names, names)
    for name in ("Status", "ErrorInfo", "BadRequest", "QuotaFailure", "PreconditionFailure", "RetryInfo"):
        answer = ask_reflection(w, "v1", file_containing_symbol=f"google.rpc.{name}")
        w.check(f"google.rpc.{name}", answer.HasField("file_descriptor_response"), answer.error_response)


@rule("Comments in the proto are the API reference and show in `describe`.")
def comments(w):
    from google.protobuf import descriptor_pb2

    for service in SERVICES:
        answer = ask_reflection(w, "v1alpha", file_containing_symbol=service)
        for raw in answer.file_descriptor_response.file_descriptor_proto:
            file = descriptor_pb2.FileDescriptorProto.FromString(raw)
            if any(f"{file.package}.{s.name}" == service for s in file.service):
                told = {tuple(l.path) for l in file.source_code_info.location if l.leading_comments or l.trailing_comments}
                methods = len(file.service[0].method)
                missing = [file.service[0].method[n].name for n in range(methods) if (6, 0, 2, n) not in told]
                w.equal(f"{service}: methods without a comment", missing, [])
                missing = [m.name for n, m in enumerate(file.message_type) if (4, n) not in told]
                w.equal(f"{service}: messages without a comment", missing, [])


def enum_comments(w, enum):
    """What the contract says behind each value of an enum."""
    from google.protobuf import descriptor_pb2

    answer = ask_reflection(w, "v1alpha", file_containing_symbol=f"keyward.v1.{enum}")
    for raw in answer.file_descriptor_response.file_descriptor_proto:
        file = descriptor_pb2.FileDescriptorProto.FromString(raw)
        for place, found in enumerate(file.enum_type):
            if found.name == enum:
                told = {tuple(l.path): l.trailing_comments.strip() for l in file.source_code_info.location}
                return {value.name: told.get((5, place, 2, n), "") for n, value in enumerate(found.value)}
    return {}


@rule("RPCs and fields of the contract that come later are left out of the proto until they work: nothing answers UNIMPLEMENTED.")
def unimplemented(w):
    left = [name for name in w.server.methods if getattr(w.nobody, name)().code == "UNIMPLEMENTED"]
    w.equal("rpcs that answer UNIMPLEMENTED", left, [])
