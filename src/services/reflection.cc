// Why this file exists: see reflection.h.
#include "services/reflection.h"

#include <google/protobuf/descriptor.pb.h>

#include <algorithm>

namespace capstan::services {

namespace pb = google::protobuf;

namespace {

void collect(const pb::FileDescriptor* file, std::set<const pb::FileDescriptor*>& into) {
  if (!into.insert(file).second) return;
  for (int i = 0; i < file->dependency_count(); ++i) collect(file->dependency(i), into);
}

std::unexpected<Error> unknown(std::string_view what, std::string_view name) {
  return fail(Code::kNotFound, std::string(what) + " '" + std::string(name) + "' not found");
}

}  // namespace

const ReflectionService::Files& ReflectionService::files() {
  if (files_.empty()) {
    for (const auto* service : directory_.services()) collect(service->file(), files_);
  }
  return files_;
}

// The file asked for first, then everything it needs.
Result<void> ReflectionService::put_file(const pb::FileDescriptor* file, std::string_view asked,
                                         Response& response) {
  if (!file || !files().contains(file)) return unknown("file or symbol", asked);
  Files needed;
  collect(file, needed);
  needed.erase(file);
  std::vector<const pb::FileDescriptor*> ordered(needed.begin(), needed.end());
  std::ranges::sort(ordered, {}, [](const pb::FileDescriptor* one) { return one->name(); });
  ordered.insert(ordered.begin(), file);
  auto* out = response.mutable_file_descriptor_response();
  for (const auto* one : ordered) {
    pb::FileDescriptorProto proto;
    one->CopyTo(&proto);
    out->add_file_descriptor_proto(proto.SerializeAsString());
  }
  return {};
}

Result<void> ReflectionService::put_extension_numbers(const std::string& type, Response& response) {
  const auto* pool = pb::DescriptorPool::generated_pool();
  const auto* message = pool->FindMessageTypeByName(type);
  if (!message || !files().contains(message->file())) return unknown("message", type);
  std::vector<const pb::FieldDescriptor*> extensions;
  pool->FindAllExtensions(message, &extensions);
  auto* out = response.mutable_all_extension_numbers_response();
  out->set_base_type_name(type);
  std::set<int> numbers;
  for (const auto* extension : extensions) {
    if (files().contains(extension->file())) numbers.insert(extension->number());
  }
  for (const int number : numbers) out->add_extension_number(number);
  return {};
}

Result<void> ReflectionService::find(const Request& request, Response& response) {
  const auto* pool = pb::DescriptorPool::generated_pool();
  switch (request.message_request_case()) {
    case Request::kFileByFilename:
      return put_file(pool->FindFileByName(request.file_by_filename()), request.file_by_filename(),
                      response);
    case Request::kFileContainingSymbol:
      return put_file(pool->FindFileContainingSymbol(request.file_containing_symbol()),
                      request.file_containing_symbol(), response);
    case Request::kFileContainingExtension: {
      const auto& wanted = request.file_containing_extension();
      const auto* type = pool->FindMessageTypeByName(wanted.containing_type());
      if (!type) return unknown("message", wanted.containing_type());
      const auto* extension = pool->FindExtensionByNumber(type, wanted.extension_number());
      const std::string name =
          wanted.containing_type() + "#" + std::to_string(wanted.extension_number());
      return put_file(extension ? extension->file() : nullptr, name, response);
    }
    case Request::kAllExtensionNumbersOfType:
      return put_extension_numbers(request.all_extension_numbers_of_type(), response);
    case Request::kListServices: {
      auto* list = response.mutable_list_services_response();
      std::set<std::string> names;
      for (const auto* service : directory_.services()) names.insert(service->full_name());
      for (const auto& name : names) list->add_service()->set_name(name);
      return {};
    }
    case Request::MESSAGE_REQUEST_NOT_SET: break;
  }
  return fail(Code::kInvalidArgument, "the request asks nothing; set one of its fields");
}

ReflectionService::Response ReflectionService::answer(const Request& request) {
  Response response;
  response.set_valid_host(request.host());
  *response.mutable_original_request() = request;
  const auto found = find(request, response);
  if (!found) {
    auto* error = response.mutable_error_response();
    error->set_error_code(static_cast<int>(found.error().code));
    error->set_error_message(found.error().text());
  }
  return response;
}

core::Task<Result<void>> ReflectionService::info(rpc::Call&, rpc::Source<Request> source,
                                                 rpc::Sink<Response> sink) {
  Request request;
  while (true) {
    CO_TRY_SET(const bool more, co_await source.next(request));
    if (!more) co_return {};
    CO_TRY(co_await sink.send(answer(request)));
  }
}

core::Task<Result<void>> ReflectionService::info_alpha(rpc::Call&, rpc::Source<RequestAlpha> source,
                                                       rpc::Sink<ResponseAlpha> sink) {
  RequestAlpha request;
  while (true) {
    CO_TRY_SET(const bool more, co_await source.next(request));
    if (!more) co_return {};
    // The two packages have the same bytes.
    Request same;
    ResponseAlpha response;
    if (!same.ParseFromString(request.SerializeAsString()) ||
        !response.ParseFromString(answer(same).SerializeAsString())) {
      co_return fail(Code::kInternal,
                     "reflection v1 and v1alpha differ; this is a bug of the node");
    }
    CO_TRY(co_await sink.send(response));
  }
}

Result<void> bind_reflection(rpc::Directory& directory, ReflectionService& service) {
  using S = ReflectionService;
  TRY(directory.declare(S::Request::descriptor()->file()->FindServiceByName("ServerReflection")));
  TRY(directory.declare(
      S::RequestAlpha::descriptor()->file()->FindServiceByName("ServerReflection")));
  TRY(rpc::bind_bidirectional(directory, "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
                              service, &S::info));
  return rpc::bind_bidirectional(directory,
                                 "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
                                 service, &S::info_alpha);
}

}  // namespace capstan::services
