// Why this file exists: the typed ways to bind a handler (rpc/directory.h). Each checks the shape
// and the message types against the descriptor once, at start; afterwards a call costs a
// static_cast. Binding allocates, calling does not (coroutine frames aside).
// Included only by rpc/directory.h.
#pragma once

namespace capstan::rpc {

namespace internal {

// The operation must be declared with this shape and these messages.
Result<void> check_binding(const Directory& directory, std::string_view full_name,
                           bool client_streams, bool server_streams,
                           const google::protobuf::Descriptor* request,
                           const google::protobuf::Descriptor* response);
// A unary or server-streaming operation was called with an empty stream of requests.
std::unexpected<Error> no_request(const Call& call);

template <class Request, class Response>
Result<void> check_binding(const Directory& directory, std::string_view full_name,
                           bool client_streams, bool server_streams) {
  return check_binding(directory, full_name, client_streams, server_streams, Request::descriptor(),
                       Response::descriptor());
}

template <class Service, class Request, class Response>
core::Task<Result<void>> call_unary(
    Service* service, core::Task<Result<Response>> (Service::*handler)(Call&, const Request&),
    Call& call, const Message& request, Message& response) {
  auto result = co_await (service->*handler)(call, static_cast<const Request&>(request));
  if (!result) co_return std::unexpected(std::move(result).error());
  static_cast<Response&>(response) = *std::move(result);
  co_return Result<void>();
}

template <class Service, class Request, class Response>
core::Task<Result<void>> call_server_stream(
    Service* service,
    core::Task<Result<void>> (Service::*handler)(Call&, const Request&, Sink<Response>), Call& call,
    MessageSource& source, MessageSink& sink) {
  Request request;
  CO_TRY_SET(const bool got, co_await source.next(request));
  if (!got) co_return no_request(call);
  co_return co_await (service->*handler)(call, request, Sink<Response>(sink));
}

template <class Service, class Request, class Response>
core::Task<Result<void>> call_client_stream(
    Service* service, core::Task<Result<Response>> (Service::*handler)(Call&, Source<Request>),
    Call& call, MessageSource& source, MessageSink& sink) {
  CO_TRY_SET(const Response response, co_await (service->*handler)(call, Source<Request>(source)));
  co_return co_await sink.send(response);
}

}  // namespace internal

template <class Service, class Request, class Response>
Result<void> bind_unary(Directory& directory, std::string_view full_name, Service& service,
                        core::Task<Result<Response>> (Service::*handler)(Call&, const Request&)) {
  TRY((internal::check_binding<Request, Response>(directory, full_name, false, false)));
  Handler bound;
  bound.unary = [service = &service, handler](Call& call, const Message& request,
                                              Message& response) {
    return internal::call_unary(service, handler, call, request, response);
  };
  return directory.bind_raw(full_name, std::move(bound));
}

// A handler that fills the answer in place, which a wire may have used before: for what is asked
// often or is long. `response` is empty at first; after an error nobody looks at it.
template <class Service, class Request, class Response>
Result<void> bind_unary(Directory& directory, std::string_view full_name, Service& service,
                        core::Task<Result<void>> (Service::*handler)(Call&, const Request&,
                                                                     Response&)) {
  TRY((internal::check_binding<Request, Response>(directory, full_name, false, false)));
  Handler bound;
  bound.unary = [service = &service, handler](Call& call, const Message& request,
                                              Message& response) {
    return (service->*handler)(call, static_cast<const Request&>(request),
                               static_cast<Response&>(response));
  };
  return directory.bind_raw(full_name, std::move(bound));
}

template <class Service, class Request, class Response>
Result<void> bind_server_stream(Directory& directory, std::string_view full_name, Service& service,
                                core::Task<Result<void>> (Service::*handler)(Call&, const Request&,
                                                                             Sink<Response>)) {
  TRY((internal::check_binding<Request, Response>(directory, full_name, false, true)));
  Handler bound;
  bound.stream = [service = &service, handler](Call& call, MessageSource& source,
                                               MessageSink& sink) {
    return internal::call_server_stream(service, handler, call, source, sink);
  };
  return directory.bind_raw(full_name, std::move(bound));
}

template <class Service, class Request, class Response>
Result<void> bind_client_stream(Directory& directory, std::string_view full_name, Service& service,
                                core::Task<Result<Response>> (Service::*handler)(Call&,
                                                                                 Source<Request>)) {
  TRY((internal::check_binding<Request, Response>(directory, full_name, true, false)));
  Handler bound;
  bound.stream = [service = &service, handler](Call& call, MessageSource& source,
                                               MessageSink& sink) {
    return internal::call_client_stream(service, handler, call, source, sink);
  };
  return directory.bind_raw(full_name, std::move(bound));
}

template <class Service, class Request, class Response>
Result<void> bind_bidirectional(Directory& directory, std::string_view full_name, Service& service,
                                core::Task<Result<void>> (Service::*handler)(Call&, Source<Request>,
                                                                             Sink<Response>)) {
  TRY((internal::check_binding<Request, Response>(directory, full_name, true, true)));
  Handler bound;
  bound.stream = [service = &service, handler](Call& call, MessageSource& source,
                                               MessageSink& sink) {
    return (service->*handler)(call, Source<Request>(source), Sink<Response>(sink));
  };
  return directory.bind_raw(full_name, std::move(bound));
}

}  // namespace capstan::rpc
