// Why this file exists: see request_writer.h. Whether a binding says all of a request is found out
// by taking from a copy what it says: nothing may be left.
#include "wire/rest/request_writer.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "rpc/any_json.h"
#include "rpc/json_writer.h"
#include "wire/rest/uri_codec.h"

namespace capstan::wire::rest {

namespace {

namespace pb = google::protobuf;
using pb::FieldDescriptor;
using rpc::FieldPath;
using rpc::HttpBinding;
using rpc::HttpStep;
using rpc::Message;

std::unexpected<Error> cannot(std::string why) {
  return fail(Code::kInvalidArgument, std::move(why));
}

// The message in which the last field of `path` is; null where one on the way is not set.
const Message* holder(const Message& message, const FieldPath& path) {
  const Message* in = &message;
  for (std::size_t i = 0; i + 1 < path.size(); ++i) {
    if (!in->GetReflection()->HasField(*in, path[i])) return nullptr;
    in = &in->GetReflection()->GetMessage(*in, path[i]);
  }
  return in;
}

bool is_wrapper(const pb::Descriptor& type) {
  return type.file()->name() == "google/protobuf/wrappers.proto";
}

// One value as set_text() (wire/rest/fields.h) reads it. `index` of a repeated field, else -1.
Result<std::string> text_of(const Message& in, const FieldDescriptor& field, int index) {
  const auto* r = in.GetReflection();
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
    return index < 0 ? r->GetString(in, &field) : r->GetRepeatedString(in, &field, index);
  }
  if (field.message_type() && is_wrapper(*field.message_type())) {
    const auto& inner =
        index < 0 ? r->GetMessage(in, &field) : r->GetRepeatedMessage(in, &field, index);
    return text_of(inner, *inner.GetDescriptor()->field(0), -1);
  }
  std::string text;
  const auto style = rpc::JsonStyle::octez();
  TRY(index < 0 ? rpc::write_json_field(in, field, style, text)
                : rpc::write_json_value(in, field, index, style, text));
  if (text.starts_with('"')) return text.substr(1, text.size() - 2);
  return text;
}

// Removes what `path` names.
void clear(Message& message, const FieldPath& path) {
  if (!holder(message, path)) return;
  Message* in = &message;
  for (std::size_t i = 0; i + 1 < path.size(); ++i) {
    in = in->GetReflection()->MutableMessage(in, path[i]);
  }
  in->GetReflection()->ClearField(in, path.back());
}

// The name of a field that is set; empty when there is none. Messages of which nothing is set say
// nothing.
std::string something_in(const Message& message) {
  std::vector<const FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  for (const auto* field : fields) {
    const auto* type = field->message_type();
    if (!type || field->is_repeated() ||
        type->well_known_type() != pb::Descriptor::WELLKNOWNTYPE_UNSPECIFIED) {
      return std::string(field->name());
    }
    const auto inner = something_in(message.GetReflection()->GetMessage(message, field));
    if (!inner.empty()) return std::string(field->name()) + "." + inner;
  }
  return {};
}

Result<void> append_step(const Message& request, const HttpStep& step, std::string& target) {
  if (step.kind == HttpStep::Kind::kLiteral) {
    target += "/" + step.name;
    return {};
  }
  if (step.field.empty()) return cannot("its path needs more than the request says");
  const Message* in = holder(request, step.field);
  const auto& field = *step.field.back();
  const bool tail = step.kind == HttpStep::Kind::kTail;
  const int count = !tail ? 1 : in ? in->GetReflection()->FieldSize(*in, &field) : 0;
  for (int i = 0; i < count; ++i) {
    std::string text;
    if (in) {
      TRY_SET(text, text_of(*in, field, tail ? i : -1));
    }
    const auto segment = encode_segment(text);
    if (!segment) {
      return cannot("its path needs '" + rpc::query_name(step.field) + "', which is " +
                    (text.empty() ? "not given" : "'" + text + "': no path can carry that"));
    }
    target += "/" + *segment;
  }
  return {};
}

Result<void> check_fixed(const Message& request, const rpc::HttpFixedField& fixed) {
  const std::unique_ptr<Message> scratch(request.New());
  TRY(set_text(*scratch, fixed.field, fixed.value));
  const auto& field = *fixed.field.back();
  TRY_SET(const std::string wanted, text_of(*holder(*scratch, fixed.field), field, -1));
  const Message* in = holder(request, fixed.field);
  std::string given;
  if (in) {
    TRY_SET(given, text_of(*in, field, -1));
  }
  if (given == wanted) return {};
  return cannot("its path is for '" + rpc::query_name(fixed.field) + "' = " + wanted);
}

Result<void> append_query(const Message& request, const QueryField& query, std::string& target) {
  const Message* in = holder(request, query.path);
  if (!in) return {};
  const auto& field = *query.path.back();
  const auto* r = in->GetReflection();
  if (!field.is_repeated() && !r->HasField(*in, &field)) return {};
  const int count = field.is_repeated() ? r->FieldSize(*in, &field) : 1;
  for (int i = 0; i < count; ++i) {
    TRY_SET(const std::string text, text_of(*in, field, field.is_repeated() ? i : -1));
    target += target.find('?') == std::string::npos ? '?' : '&';
    target += encode_query(query.short_name.empty() ? query.name : query.short_name) + "=" +
              encode_query(text);
  }
  return {};
}

bool is_text(const FieldDescriptor* field) {
  return field && !field->is_repeated() && field->cpp_type() == FieldDescriptor::CPPTYPE_STRING;
}

// The body, or an element of it, of what the path and the query do not say.
Result<std::string> body_of(const CallPath& path, const Message& request, rpc::Media media) {
  const auto& binding = path.binding;
  if (binding.raw_body || (binding.json_text && is_text(binding.body))) {
    std::string value = request.GetReflection()->GetString(request, binding.body);
    if (binding.raw_body) return value;
    if (value.empty()) value = "null";  // JSON is never nothing
    return media == rpc::Media::kJson ? value : rpc::encode_any_json(media, value);
  }
  return rpc::encode_body(media, request, path.request, path.style);
}

// What the binding does not say of `request`.
std::string unsaid(const CallPath& path, const Message& request, bool first) {
  const auto& binding = path.binding;
  if (binding.has_body() && !binding.body) return {};
  const std::unique_ptr<Message> rest(request.New());
  rest->CopyFrom(request);
  if (first) {
    for (const auto& step : binding.steps) {
      if (!step.field.empty()) clear(*rest, step.field);
    }
    for (const auto& fixed : binding.set) clear(*rest, fixed.field);
    for (const auto& query : path.query) clear(*rest, query.path);
  }
  if (binding.body) rest->GetReflection()->ClearField(rest.get(), binding.body);
  return something_in(*rest);
}

Result<OutgoingRequest> write_by(const CallPath& path, const Message& request, rpc::Media media) {
  const auto& binding = path.binding;
  OutgoingRequest out;
  out.path = &path;
  out.method = binding.method;
  for (const auto& fixed : binding.set) TRY(check_fixed(request, fixed));
  for (const auto& step : binding.steps) TRY(append_step(request, step, out.target));
  if (out.target.empty()) out.target = "/";
  for (const auto& query : path.query) TRY(append_query(request, query, out.target));
  if (auto field = unsaid(path, request, true); !field.empty()) {
    return cannot("neither its path nor its query nor its body has '" + field + "'");
  }
  out.has_body = binding.has_body();
  if (!out.has_body) return out;
  if (!binding.raw_body) out.media = media;
  TRY_SET(out.body, body_of(path, request, media));
  return out;
}

// How much of the operation's answer is lost by this binding; less is better.
int loss(const CallPath& path) {
  const auto& binding = path.binding;
  const int fields = path.response.type->field_count();
  if (binding.only) return 4;  // what is not there is an error instead of an empty list
  if (binding.answer == rpc::HttpAnswer::kRaw) return fields > 1 ? 3 : 1;
  if (binding.answer == rpc::HttpAnswer::kNoContent ||
      binding.answer == rpc::HttpAnswer::kCreated) {
    return fields > 0 ? 3 : 0;
  }
  return binding.result && fields > 1 ? 2 : 0;
}

}  // namespace

rpc::HttpBinding generic_binding(const rpc::Operation& operation) {
  rpc::HttpBinding binding;
  binding.method = "POST";
  binding.path = "/rpc/" + operation.full_name();
  const auto literal = [&](std::string_view name) {
    binding.steps.push_back({HttpStep::Kind::kLiteral, std::string(name), {}});
  };
  literal("rpc");
  literal(operation.service());
  literal(operation.name());
  return binding;
}

CallPath::CallPath(const pb::MethodDescriptor& method, rpc::HttpBinding how)
    : binding(std::move(how)),
      request(rpc::request_shape(method, binding)),
      response(rpc::response_shape(method, binding)),
      query(query_fields_of(binding, rpc::query_fields(method, binding))),
      style(binding.path.starts_with("/v0/") ? rpc::JsonStyle::v0() : rpc::JsonStyle::octez()),
      takes_stream(method.client_streaming()),
      gives_stream(method.server_streaming()) {}

Result<CallPaths> CallPaths::of(const pb::MethodDescriptor& method) {
  CallPaths made;
  TRY_SET(made.operation, rpc::Operation::from(method));
  if (made.operation.http.empty()) {
    made.paths.emplace_back(method, generic_binding(made.operation));
  }
  for (const auto& binding : made.operation.http) {  // the order of declaration among equals
    CallPath path(method, binding);
    const auto before = std::ranges::upper_bound(made.paths, loss(path), {}, loss);
    made.paths.insert(before, std::move(path));
  }
  return made;
}

Result<OutgoingRequest> write_request(const CallPaths& paths, const Message& request,
                                      rpc::Media media) {
  std::string why;
  for (const auto& path : paths.paths) {
    auto written = write_by(path, request, media);
    if (written) return written;
    if (written.error().code != Code::kInvalidArgument) return written;
    why += (why.empty() ? "" : "; ") + path.binding.method + " " + path.binding.pattern() + ": " +
           written.error().text();
  }
  return cannot(paths.operation.full_name() + " cannot be asked for so over HTTP (" + why +
                "). Give what is missing, or use another wire");
}

Result<std::string> write_element(const CallPath& path, const Message& request, rpc::Media media) {
  if (auto field = unsaid(path, request, false); !field.empty()) {
    return cannot("over HTTP only the first request of the stream can have '" + field + "'");
  }
  // Path and query belong to the first request.
  for (const auto& field : path.request.hidden) {
    const Message* in = holder(request, field);
    if (!in) continue;
    const auto* r = in->GetReflection();
    const auto& last = *field.back();
    if (last.is_repeated() ? r->FieldSize(*in, &last) != 0 : r->HasField(*in, &last)) {
      return cannot("over HTTP only the first request of the stream can have '" +
                    rpc::query_name(field) + "'");
    }
  }
  return body_of(path, request, media);
}

}  // namespace capstan::wire::rest
