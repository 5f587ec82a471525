"""Walks a running Keyward, as a stranger with nothing but its address and its first operator token.

    python3 tests/walk --server 127.0.0.1:50051 --operator-token-file DIR/operator.token --environment dev

Needs Python 3.10 with grpcio, grpcio-reflection and grpcio-health-checking. Prints a line for each check; ends with the count, and with exit code 1 where one failed.
"""

import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from client import Server  # noqa: E402
from harness import Walk  # noqa: E402

# Each registers its rules when it is imported; they run in this order.
import surroundings  # noqa: E402, F401
import integration_tokens  # noqa: E402, F401
import access_keys  # noqa: E402, F401
import application_keys  # noqa: E402, F401
import practice  # noqa: E402, F401
import bad_input  # noqa: E402, F401
import bad_fields  # noqa: E402, F401
import operators  # noqa: E402, F401
import grants  # noqa: E402, F401
import token_states  # noqa: E402, F401
import secrets_of_a_token  # noqa: E402, F401
import policies  # noqa: E402, F401
import request_ids  # noqa: E402, F401
import presented  # noqa: E402, F401
import decisions  # noqa: E402, F401
import imports  # noqa: E402, F401
import lists  # noqa: E402, F401
import metering  # noqa: E402, F401
import events  # noqa: E402, F401
import watching  # noqa: E402, F401
import every_answer  # noqa: E402, F401


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--server", default="127.0.0.1:50051", help="host:port of the gRPC listener")
    options.add_argument("--side", default="", help="host:port of the side listener; its checks are not run without it")
    options.add_argument("--operator-token-file", required=True, type=pathlib.Path)
    options.add_argument("--environment", required=True, help="the server's --environment")
    options.add_argument("--only", default="", help="walk only the rules whose module.function contains this")
    given = options.parse_args()

    walk = Walk(Server(given.server), given.operator_token_file.read_text().strip(), given.environment, given.side)
    walk.run(given.only)
    if walk.left_out:
        print(f"\n{walk.left_out} not run, each with its reason above")
    print(f"{walk.passed} passed, {walk.failed} failed")
    sys.exit(1 if walk.failed else 0)


main()
