// Why this file exists: see catalogue.h.
#include "apps/capstan/catalogue.h"

#include <google/protobuf/descriptor_database.h>

#include <algorithm>
#include <cctype>
#include <utility>

#include "rpc/media.h"
#include "wire/rest/operation_call.h"

namespace capstan::apps {
namespace {

namespace pb = google::protobuf;
using wire::rest::Route;

core::Task<Result<void>> not_here(rpc::Call&, const rpc::Message&, rpc::Message&) {
  co_return fail(Code::kUnimplemented, "operations are carried out by nodes");
}
core::Task<Result<void>> no_stream_here(rpc::Call&, rpc::MessageSource&, rpc::MessageSink&) {
  co_return fail(Code::kUnimplemented, "operations are carried out by nodes");
}

Result<void> declare(const pb::ServiceDescriptor& service, rpc::Directory& directory) {
  TRY(directory.declare(&service));
  for (int i = 0; i < service.method_count(); ++i) {
    const auto& method = *service.method(i);
    rpc::Handler handler;
    if (method.client_streaming() || method.server_streaming()) {
      handler.stream = no_stream_here;
    } else {
      handler.unary = not_here;
    }
    TRY(directory.bind_raw(service.full_name() + "/" + method.name(), std::move(handler)));
  }
  return {};
}

bool ends_at_a_border(std::string_view full, std::string_view name) {
  if (!full.ends_with(name)) return false;
  if (full.size() == name.size()) return true;
  const char before = full[full.size() - name.size() - 1];
  return before == '/' || before == '.';
}

bool is_also_called(const rpc::Operation& operation, std::string_view name) {
  if (operation.jsonrpc_name == name || operation.muxio_name == name) return !name.empty();
  const auto& old = operation.jsonrpc_old_names;
  if (std::ranges::find(old, name) != old.end()) return true;
  if (operation.drpc_module != 0 &&
      std::to_string(operation.drpc_module) + "/" + std::to_string(operation.drpc_method) == name) {
    return true;
  }
  return std::ranges::any_of(operation.http, [&](const rpc::HttpBinding& binding) {
    return binding.text() == name || binding.method + " " + binding.pattern() == name;
  });
}

std::unexpected<Error> wrong(std::string what) {
  return fail(Code::kInvalidArgument, std::move(what));
}

}  // namespace

Result<std::unique_ptr<Catalogue>> Catalogue::make() {
  auto made = std::make_unique<Catalogue>();
  std::vector<std::string> files;
  const auto* pool = pb::DescriptorPool::generated_pool();
  pb::DescriptorPool::internal_generated_database()->FindAllFileNames(&files);
  std::ranges::sort(files);
  for (const auto& name : files) {
    const auto* file = pool->FindFileByName(name);
    for (int i = 0; file && i < file->service_count(); ++i) {
      TRY(declare(*file->service(i), made->directory_));
    }
  }
  TRY_SET(made->routes_, wire::rest::Routes::make(made->directory_));
  return made;
}

Result<const rpc::Operation*> Catalogue::find(std::string_view name) const {
  std::vector<const rpc::Operation*> fitting;
  std::string slashed(name);
  const auto dot = slashed.rfind('.');
  if (slashed.find_first_of("/ ") == std::string::npos && dot != std::string::npos) {
    slashed[dot] = '/';
  }
  for (const auto* operation : operations()) {
    if (operation->full_name() == slashed || is_also_called(*operation, name)) return operation;
    if (ends_at_a_border(operation->full_name(), slashed)) fitting.push_back(operation);
  }
  if (fitting.size() > 1) {
    const auto of_v1 = [](const auto* one) { return one->service().starts_with("mayastor.v1."); };
    if (std::ranges::count_if(fitting, of_v1) == 1) return *std::ranges::find_if(fitting, of_v1);
  }
  if (fitting.size() == 1) return fitting.front();
  if (fitting.empty()) {
    return wrong("'" + std::string(name) +
                 "' is no operation that this program knows. See: capstan rpc names");
  }
  std::string all;
  for (const auto* one : fitting) all += (all.empty() ? "" : ", ") + one->full_name();
  return wrong("'" + std::string(name) + "' is the name of several operations: " + all +
               ". Write more of it");
}

Result<Catalogue::Place> Catalogue::place(std::string_view name, std::string_view url) const {
  std::string upper(name);
  std::ranges::transform(upper, upper.begin(), [](unsigned char c) { return std::toupper(c); });
  wire::rest::Method method = wire::rest::Method::kGet;
  if (!wire::rest::method_named(upper, method)) {
    return wrong("'" + std::string(name) + "' is no method. Give GET, POST, PUT, PATCH or DELETE");
  }
  const std::string path = (url.starts_with('/') ? "" : "/") + std::string(url);
  TRY_SET(auto target, wire::rest::parse_target(path));
  auto found = routes_->tree().find(target.segments);
  if (!found.node) {
    if (!found.complaint.empty()) return wrong(found.complaint);
    return fail(Code::kNotFound, "no operation that this program knows is at " + path +
                                     ". See: capstan rpc names /");
  }
  const Route* route = found.node->service(method);
  if (!route) {
    return wrong(path + " does not take " + upper + ". It takes " + found.node->allowed());
  }
  return Place{route, std::move(found.arguments), std::move(target.query)};
}

Result<const Route*> Catalogue::route(std::string_view method, std::string_view url) const {
  TRY_SET(const Place found, place(method, url));
  return found.route;
}

Result<Catalogue::Call> Catalogue::call(std::string_view method, std::string_view url,
                                        std::string_view body) const {
  TRY_SET(Place found, place(method, url));
  const Route& route = *found.route;
  wire::rest::Resolved resolved;
  resolved.route = &route;
  resolved.arguments = std::move(found.arguments);
  TRY(resolved.read_query(found.query));
  Call call{&route, route.entry->new_request()};
  const auto& binding = route.binding;
  if (!binding.has_body()) {
    call.request = std::move(resolved.parameters);
    return call;
  }
  if (binding.raw_body || (binding.json_text && binding.body)) {
    call.request->GetReflection()->SetString(call.request.get(), binding.body, std::string(body));
  } else {
    rpc::JsonReader reader;
    if (auto read = rpc::decode_json(body, *call.request, route.request, reader, route.style);
        !read) {
      return std::unexpected(std::move(read).error().within("read the body"));
    }
  }
  call.request->MergeFrom(*resolved.parameters);
  return call;
}

}  // namespace capstan::apps
