// Why this file exists: dRPC for C programs, and for every language that can call C: a client that
// connects, calls a method and hands out the reply. The calling thread waits; there is no runtime
// to start and nothing to initialise. Link with -lcapstan_drpc; examples/drpc_client.c is a whole
// program.
//
// Every function answers 0 or one of the negative codes below, which are DAOS's own (drpc section
// 10). Unlike DAOS's C library it holds the sequence of a reply against the call's, and a
// connection is closed after any error of capstan_drpc_call(), so that the next call cannot read a
// reply that came too late.
//
// Memory: what a function hands out is released by the function named beside it, and by no other.
// Threads: a connection is used by one thread at a time; different ones do not know each other.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CAPSTAN_DRPC_API __attribute__((visibility("default")))

enum capstan_drpc_code {
  CAPSTAN_DRPC_OK = 0,
  CAPSTAN_DRPC_NO_PERMISSION = -1001,  // EPERM, EACCES
  CAPSTAN_DRPC_NO_HANDLE = -1002,      // the connection is closed: connect again
  CAPSTAN_DRPC_INVALID = -1003,        // an argument: a null pointer, a path above 107 bytes
  CAPSTAN_DRPC_NOT_FOUND = -1005,      // nothing at the path
  CAPSTAN_DRPC_NO_MEMORY = -1009,
  CAPSTAN_DRPC_TIMED_OUT = -1011,  // the reply did not come in time
  CAPSTAN_DRPC_BUSY = -1012,
  CAPSTAN_DRPC_PROTOCOL = -1014,   // the peer broke the rules of framing, or its reply is none
  CAPSTAN_DRPC_TRUNCATED = -1016,  // the peer closed before the reply was complete
  CAPSTAN_DRPC_TOO_LARGE = -1017,  // the call or the reply is above 64 MiB
  CAPSTAN_DRPC_MISMATCH = -1031,   // the reply is another call's
  CAPSTAN_DRPC_IO = -2001,
  CAPSTAN_DRPC_MISC = -1025  // everything else, for instance a refused connection
};

// Statuses of a reply; a peer may send others.
enum capstan_drpc_status {
  CAPSTAN_DRPC_SUCCESS = 0,
  CAPSTAN_DRPC_SUBMITTED = 1,
  CAPSTAN_DRPC_FAILURE = 2,
  CAPSTAN_DRPC_UNKNOWN_MODULE = 3,
  CAPSTAN_DRPC_UNKNOWN_METHOD = 4,
  CAPSTAN_DRPC_FAILED_UNMARSHAL_CALL = 5,
  CAPSTAN_DRPC_FAILED_UNMARSHAL_PAYLOAD = 6,
  CAPSTAN_DRPC_FAILED_MARSHAL = 7
};

struct capstan_drpc_connection;  // made by capstan_drpc_connect()

struct capstan_drpc_reply {
  int64_t sequence;
  int32_t status;  // anything but SUCCESS has no body, as a rule
  size_t body_bytes;
  const uint8_t* body;  // never null; valid until the reply is freed
};

// Connects to the Unix socket at `path`. *connection is null unless 0 is answered.
// Release with capstan_drpc_close().
CAPSTAN_DRPC_API int capstan_drpc_connect(const char* path,
                                          struct capstan_drpc_connection** connection);

// Calls one method and waits for its reply, at most `timeout_ms` milliseconds (negative: for ever).
// `body` may be null when `body_bytes` is 0. Any status is a reply and answered with 0; *reply is
// null otherwise. Release with capstan_drpc_reply_free().
CAPSTAN_DRPC_API int capstan_drpc_call(struct capstan_drpc_connection* connection, int32_t module,
                                       int32_t method, const void* body, size_t body_bytes,
                                       int timeout_ms, struct capstan_drpc_reply** reply);

// Null is allowed.
CAPSTAN_DRPC_API void capstan_drpc_reply_free(struct capstan_drpc_reply* reply);

// One more owner of the connection: as many further capstan_drpc_close() end it.
CAPSTAN_DRPC_API int capstan_drpc_add_ref(struct capstan_drpc_connection* connection);
CAPSTAN_DRPC_API int capstan_drpc_close(struct capstan_drpc_connection* connection);

// Not zero while calls are possible: false after an error of a call.
CAPSTAN_DRPC_API int capstan_drpc_is_connected(const struct capstan_drpc_connection* connection);
// What the last failed call of this connection said, for people; "" when none failed. Valid until
// the next call.
CAPSTAN_DRPC_API const char* capstan_drpc_last_error(
    const struct capstan_drpc_connection* connection);
// "TIMED_OUT" for -1011 and so on; "UNKNOWN" for other numbers. Never freed.
CAPSTAN_DRPC_API const char* capstan_drpc_code_name(int code);

#ifdef __cplusplus
}
#endif
