// Why this file exists: the client's half of a route: a typed request becomes method, target and
// body by one of the operation's declared bindings, the reverse of what the server reads
// (wire/rest/operation_call.h). What no binding can say, because a path has no empty segments or a
// query no lists of messages, is an error that names it; nothing is left out silently.
//
// Source: http-rpc section 2.4. Lifetime: the descriptors live as long as the generated messages.
// Thread-safety: values; no I/O.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "rpc/body_shape.h"
#include "rpc/media.h"
#include "rpc/operation.h"
#include "wire/rest/fields.h"

namespace capstan::wire::rest {

// What is called by POST /rpc/package.Service/Method because it declares nothing.
rpc::HttpBinding generic_binding(const rpc::Operation& operation);

// One way to call an operation, prepared once.
struct CallPath {
  CallPath(const google::protobuf::MethodDescriptor& method, rpc::HttpBinding how);
  rpc::HttpBinding binding;
  rpc::BodyShape request, response;
  std::vector<QueryField> query;
  rpc::JsonStyle style;  // that of the tree in which the path is
  bool takes_stream, gives_stream;
};

struct CallPaths {
  static Result<CallPaths> of(const google::protobuf::MethodDescriptor& method);
  rpc::Operation operation;
  std::vector<CallPath> paths;  // never empty
};

struct OutgoingRequest {
  const CallPath* path = nullptr;
  std::string method, target;
  // The media type of the body; nothing: no body, or (raw) bytes outside of the media types.
  std::optional<rpc::Media> media;
  bool has_body = false;
  std::string body;  // of a call that streams requests: the first element
};

// The binding that says all of `request` and whose answer says most, and the request by it. Of a
// call that streams requests this is the first one. kInvalidArgument when there is none.
Result<OutgoingRequest> write_request(const CallPaths& paths, const rpc::Message& request,
                                      rpc::Media media);
// A further request of a stream: bytes to append to the body.
Result<std::string> write_element(const CallPath& path, const rpc::Message& request,
                                  rpc::Media media);

}  // namespace capstan::wire::rest
