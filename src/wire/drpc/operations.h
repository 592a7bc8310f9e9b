// Why this file exists: the node's operations as dRPC modules: one Module for each module number
// that the options of api/ name, its methods the operations of a Directory. Bodies are the request
// and api/drpc/reply.proto's Reply around the response (drpc section 14).
//
//   unary                  the response
//   large (stream ends)    all responses, collected into one reply
//   endless, client or     refused: UNIMPLEMENTED, naming gRPC, which can
//   bidirectional streams
//
// An error of the operation is a Reply with its code and text and dRPC status SUCCESS; only a body
// that does not parse and an operation that is not served have statuses of their own.
#pragma once

#include <google/protobuf/message.h>

#include "rpc/directory.h"
#include "wire/drpc/module.h"
#include "wire/drpc/server.h"

namespace capstan::wire::drpc {

// Everything bound in `directory`, which is complete and outlives the server.
Result<void> register_operations(DomainSocketServer& server, const rpc::Directory& directory);

// Reads a Reply: into `response` (of a unary operation), or as the error it carries.
Result<void> read_reply(ByteView body, google::protobuf::Message& response);

}  // namespace capstan::wire::drpc
