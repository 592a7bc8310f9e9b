// Why this file exists: a dRPC client in plain C, as small as one gets: it connects, makes one call
// and prints what came back.
//
//     ninja -C build/asan drpc_client drpc_hello
//     build/asan/bin/drpc_hello serve /tmp/hello.sock &
//     build/asan/bin/drpc_client /tmp/hello.sock 77 7701 abc        prints: cba
//
// Against a node, module and method are in docs/operations.md, and bodies are protobuf messages:
// the version of a node as bytes is   drpc_client /var/tmp/mayastor-drpc.sock 100 10001 | xxd
//
// Exit code: 0, the status of a reply that is not SUCCESS, 64 for wrong arguments, 65 for an error.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capstan_drpc.h"

static int complain(const char* what, int code, const char* detail) {
  fprintf(stderr, "%s: %s (%d)%s%s\n", what, capstan_drpc_code_name(code), code,
          *detail ? ": " : "", detail);
  return 65;
}

int main(int argc, char** argv) {
  if (argc < 4 || argc > 6) {
    fprintf(stderr, "usage: drpc_client PATH MODULE METHOD [BODY [TIMEOUT_MS]]\n");
    return 64;
  }
  const char* body = argc > 4 ? argv[4] : "";
  const int timeout_ms = argc > 5 ? atoi(argv[5]) : 5000;

  struct capstan_drpc_connection* connection = NULL;
  int code = capstan_drpc_connect(argv[1], &connection);
  if (code != CAPSTAN_DRPC_OK) return complain("connect", code, argv[1]);

  struct capstan_drpc_reply* reply = NULL;
  code = capstan_drpc_call(connection, atoi(argv[2]), atoi(argv[3]), body, strlen(body), timeout_ms,
                           &reply);
  int status = 0;
  if (code != CAPSTAN_DRPC_OK) {
    status = complain("call", code, capstan_drpc_last_error(connection));
  } else if (reply->status != CAPSTAN_DRPC_SUCCESS) {
    fprintf(stderr, "the server answered status %d\n", (int)reply->status);
    status = reply->status;
  } else {
    fwrite(reply->body, 1, reply->body_bytes, stdout);
  }
  capstan_drpc_reply_free(reply);
  capstan_drpc_close(connection);
  return status;
}
