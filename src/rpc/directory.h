// Why this file exists: the Directory is where declared operations meet their handlers. Services
// bind, wires look up and run; neither knows the other. Running goes through the interceptor chain
// (rpc/interceptor.h), which therefore exists once for all wires.
//
// A handler is a named coroutine or a member of a service object that outlives the directory:
//   Task<Result<Pool>> create_pool(Call&, const CreatePoolRequest&)
// A streaming one takes a Source<Request>& and/or a Sink<Response>&, whose send() suspends while
// the peer is slow.
// Thread-safety: built once at start, then read-only; core 0.
#pragma once

#include <google/protobuf/message.h>

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "core/task.h"
#include "rpc/call.h"
#include "rpc/operation.h"

namespace capstan::rpc {

using google::protobuf::Message;

// The requests of a call, in order. Implemented by wires (and by tests).
class MessageSource {
 public:
  virtual ~MessageSource() = default;
  // False at the regular end of the stream; an error when the peer broke or cancelled it.
  virtual core::Task<Result<bool>> next(Message& into) = 0;
  // Nobody wants the rest: a next() that waits, and every later one, ends with kCancelled. For
  // handlers that read in a child task; sources whose next() never waits need not implement it.
  virtual void interrupt() {}
};

// The answers of a call, in order. send() returns once the message is queued within the peer's
// flow-control window; it fails when the call is cancelled.
class MessageSink {
 public:
  virtual ~MessageSink() = default;
  virtual core::Task<Result<void>> send(const Message& message) = 0;
};

// Typed views for handlers.
template <class Request>
class Source {
 public:
  explicit Source(MessageSource& source) : source_(source) {}
  core::Task<Result<bool>> next(Request& into) { return source_.next(into); }

 private:
  MessageSource& source_;
};
template <class Response>
class Sink {
 public:
  explicit Sink(MessageSink& sink) : sink_(sink) {}
  core::Task<Result<void>> send(const Response& message) { return sink_.send(message); }

 private:
  MessageSink& sink_;
};

// The two shapes behind every binding. Exactly one of them is set.
struct Handler {
  // `response` is an empty message of the operation's type.
  std::function<core::Task<Result<void>>(Call&, const Message& request, Message& response)> unary;
  std::function<core::Task<Result<void>>(Call&, MessageSource&, MessageSink&)> stream;
};

class Interceptor;

class Directory {
 public:
  struct Entry {
    Operation operation;
    Handler handler;
    // Empty messages of the operation's types, for New().
    const Message* request = nullptr;
    const Message* response = nullptr;
    std::unique_ptr<Message> new_request() const {
      return std::unique_ptr<Message>(request->New());
    }
    std::unique_ptr<Message> new_response() const {
      return std::unique_ptr<Message>(response->New());
    }
  };

  Directory();
  ~Directory();
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;

  // Declares a service whose methods must be bound before check_complete(). `absent` lists methods
  // that are deliberately not served (they answer UNIMPLEMENTED).
  Result<void> declare(const google::protobuf::ServiceDescriptor* service,
                       std::set<std::string> absent = {});
  // Binds a raw handler; `bind_*` below is the typed way. Fails for unknown or already bound
  // methods and for a unary handler of a streaming operation.
  Result<void> bind_raw(std::string_view full_name, Handler handler);
  // Fails naming every declared, not absent, unbound method.
  Result<void> check_complete() const;

  // Interceptors run in the order added (the first is the outermost), which must be that of Place,
  // at most one for each.
  void add_interceptor(std::unique_ptr<Interceptor> interceptor);

  // Null for an unknown, absent or unbound operation. `full_name` is "package.Service/Method".
  const Entry* find(std::string_view full_name) const;
  // The operation with these numbers on dRPC; null as above.
  const Entry* find_drpc(std::uint32_t module, std::uint32_t method) const;
  bool has_service(std::string_view service) const;
  // What find() answers null for, as the error a wire sends: unknown service, unknown method, or
  // deliberately absent. Always kUnimplemented.
  Error why_missing(std::string_view full_name) const;
  // The declared, not absent operation, bound or not; null when there is none.
  const Operation* declared(std::string_view full_name) const;
  std::vector<const Operation*> operations() const;  // the bound ones, sorted by full name
  std::vector<const google::protobuf::ServiceDescriptor*> services() const;

  // Runs the whole chain. `call.operation` is set by these. A call whose token has fired before the
  // handler starts is answered with the token's code, and a handler that ends after the deadline is
  // answered with DEADLINE_EXCEEDED whatever it says: the client has stopped waiting. All arguments
  // must live until the task ends.
  // For a wire that has the one request of a unary operation at hand:
  core::Task<Result<void>> run(const Entry& entry, Call& call, const Message& request,
                               Message& response) const;
  // For any operation, unary ones included (one request is read, one answer is sent).
  core::Task<Result<void>> run(const Entry& entry, Call& call, MessageSource& source,
                               MessageSink& sink) const;

 private:
  Result<void> claim_wire_names(const Operation& operation);

  std::map<std::string, Entry, std::less<>> entries_;  // declared; bound when the handler is set
  std::map<std::string, const google::protobuf::ServiceDescriptor*, std::less<>> services_;
  std::set<std::string, std::less<>> absent_;
  std::map<std::pair<std::uint32_t, std::uint32_t>, const Entry*> drpc_;
  std::map<std::string, std::string, std::less<>> wire_names_;  // "GET /version" -> full name
  std::vector<std::unique_ptr<Interceptor>> interceptors_;
};

// bind_unary(directory, "mayastor.v1.PoolRpc/ListPools", service, &PoolServiceV1::list_pools);
// checks the message types against the descriptor. `service` outlives the directory.
template <class Service, class Request, class Response>
Result<void> bind_unary(Directory& directory, std::string_view full_name, Service& service,
                        core::Task<Result<Response>> (Service::*handler)(Call&, const Request&));
// The handler streams answers.
template <class Service, class Request, class Response>
Result<void> bind_server_stream(Directory& directory, std::string_view full_name, Service& service,
                                core::Task<Result<void>> (Service::*handler)(Call&, const Request&,
                                                                             Sink<Response>));
// The handler reads a stream and returns one answer.
template <class Service, class Request, class Response>
Result<void> bind_client_stream(Directory& directory, std::string_view full_name, Service& service,
                                core::Task<Result<Response>> (Service::*handler)(Call&,
                                                                                 Source<Request>));
template <class Service, class Request, class Response>
Result<void> bind_bidirectional(Directory& directory, std::string_view full_name, Service& service,
                                core::Task<Result<void>> (Service::*handler)(Call&, Source<Request>,
                                                                             Sink<Response>));

}  // namespace capstan::rpc

#include "rpc/bind.inl.h"
