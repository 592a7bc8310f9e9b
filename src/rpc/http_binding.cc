// Why this file exists: reads and checks one HTTP binding (rpc/http_binding.h), so that a wrong
// declaration stops the node at start instead of answering 500 at the first call.
#include "rpc/http_binding.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/limits.h"
#include "rpc/options.pb.h"

namespace capstan::rpc {

namespace {

namespace pb = google::protobuf;

std::unexpected<Error> wrong(std::string what) {
  return fail(Code::kInvalidArgument, std::move(what));
}

std::string quoted(std::string_view text) {
  return "'" + std::string(text) + "'";
}

// "a.b" in `message`. All but the last are single messages.
Result<FieldPath> field_path(const pb::Descriptor& message, std::string_view text,
                             std::string_view where) {
  FieldPath path;
  const pb::Descriptor* in = &message;
  for (bool more = true; more;) {
    const auto dot = text.find('.');
    more = dot != std::string_view::npos;
    const auto* field = in ? in->FindFieldByName(std::string(text.substr(0, dot))) : nullptr;
    if (!field) {
      return wrong(std::string(where) + " names " + quoted(text.substr(0, dot)) +
                   ", which is no field of " +
                   (in ? std::string(in->full_name()) : "a value that has none"));
    }
    path.push_back(field);
    in = field->is_repeated() ? nullptr : field->message_type();
    if (more) text.remove_prefix(dot + 1);
  }
  return path;
}

// Steps and queries are text: what they fill must be readable from it.
Result<void> check_scalar(const FieldPath& path, bool repeated, std::string_view where) {
  const auto& field = *path.back();
  // Wrapped values (google.protobuf.StringValue) read like what they wrap.
  const bool wrapper =
      field.message_type() && field.message_type()->full_name().starts_with("google.protobuf.");
  if (field.message_type() && !wrapper) {
    return wrong(std::string(where) + " fills " + quoted(field.full_name()) +
                 ", which is a message");
  }
  if (field.is_repeated() != repeated) {
    return wrong(std::string(where) + " fills " + quoted(field.full_name()) +
                 (repeated ? ", which is not repeated" : ", which is repeated"));
  }
  return {};
}

Result<HttpStep> argument_of(const pb::Descriptor& request, std::string_view inside) {
  HttpStep step;
  step.kind = HttpStep::Kind::kArgument;
  if (inside.ends_with("...")) {
    step.kind = HttpStep::Kind::kTail;
    inside.remove_suffix(3);
  }
  const auto equals = inside.find('=');
  step.name = inside.substr(0, equals);
  const auto field = equals == std::string_view::npos ? inside : inside.substr(equals + 1);
  if (step.name.empty() || field.empty()) return wrong("http.path has an argument without a name");
  if (field.starts_with('@')) {
    step.metadata = field.substr(1);
    if (!step.metadata.empty() && step.kind == HttpStep::Kind::kArgument) return step;
    return wrong("http.path has " + quoted(inside) + "; one argument is one named metadata");
  }
  TRY_SET(step.field, field_path(request, field, "http.path"));
  TRY(check_scalar(step.field, step.kind == HttpStep::Kind::kTail, "http.path"));
  return step;
}

Result<std::vector<HttpStep>> steps_of(const pb::Descriptor& request, std::string_view path) {
  if (!path.starts_with('/')) {
    return wrong("http.path " + quoted(path) + " does not start with '/'");
  }
  std::vector<HttpStep> steps;
  path.remove_prefix(1);
  while (!path.empty()) {
    const auto slash = path.find('/');
    const auto part = path.substr(0, slash);
    if (!steps.empty() && steps.back().kind == HttpStep::Kind::kTail) {
      return wrong("http.path goes on after " + quoted(steps.back().name) +
                   ", which takes all that remains");
    }
    if (part.starts_with('{') && part.ends_with('}')) {
      TRY_SET(auto step, argument_of(request, part.substr(1, part.size() - 2)));
      steps.push_back(std::move(step));
    } else {
      if (part.empty() || part.find_first_of("{}") != std::string_view::npos) {
        return wrong("http.path has the step " + quoted(part) + "; write text or {argument}");
      }
      steps.push_back({HttpStep::Kind::kLiteral, std::string(part), {}});
    }
    if (steps.size() > limits::kHttpPathSteps) return wrong("http.path has too many steps");
    path = slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
    if (slash != std::string_view::npos && path.empty()) {
      return wrong("http.path ends with '/'; leave it out");
    }
  }
  return steps;
}

Result<void> read_request_part(const pb::Descriptor& request,
                               const OperationOptions::Http& declared, HttpBinding& made) {
  if (!declared.body().empty()) {
    made.body = request.FindFieldByName(declared.body());
    if (!made.body || !made.has_body()) {
      return wrong("http.body " + quoted(declared.body()) + " is no field of " +
                   std::string(request.full_name()) + ", or " + made.method + " has no body");
    }
  }
  for (const std::string_view text : declared.query()) {
    const auto equals = text.find('=');
    const bool named = equals != std::string_view::npos;
    TRY_SET(auto field, field_path(request, named ? text.substr(equals + 1) : text, "http.query"));
    TRY(check_scalar(field, field.back()->is_repeated(), "http.query"));
    if (named) made.query_names.push_back({std::string(text.substr(0, equals)), field});
    if (made.has_body()) made.query.push_back(std::move(field));
  }
  for (const auto& text : declared.set()) {
    const auto equals = text.find('=');
    if (equals == std::string::npos)
      return wrong("http.set " + quoted(text) + " is not field=value");
    if (text.starts_with('@')) {
      made.metadata.emplace_back(text.substr(1, equals - 1), text.substr(equals + 1));
      continue;
    }
    TRY_SET(auto field, field_path(request, std::string_view(text).substr(0, equals), "http.set"));
    TRY(check_scalar(field, false, "http.set"));
    made.set.push_back({std::move(field), text.substr(equals + 1)});
  }
  return {};
}

HttpAnswer answer_of(int declared) {
  switch (declared) {
    case OperationOptions::Http::CHUNKED: return HttpAnswer::kChunked;
    case OperationOptions::Http::CREATED: return HttpAnswer::kCreated;
    case OperationOptions::Http::NO_CONTENT: return HttpAnswer::kNoContent;
    case OperationOptions::Http::RAW: return HttpAnswer::kRaw;
    default: return HttpAnswer::kOk;
  }
}

bool is_text(const pb::FieldDescriptor* field) {
  return field && !field->is_repeated() && field->cpp_type() == pb::FieldDescriptor::CPPTYPE_STRING;
}

// After both parts were read.
Result<void> read_encodings(const OperationOptions::Http& declared, HttpBinding& made) {
  made.json_text = declared.json_text();
  made.raw_body = declared.raw_body();
  made.needs_body = declared.needs_body();
  if (made.needs_body && !made.has_body()) {
    return wrong("http.needs_body does not go with " + made.method);
  }
  if (made.raw_body && !is_text(made.body)) {
    return wrong("http.raw_body needs a text or bytes field as http.body");
  }
  if (made.json_text && !is_text(made.result) && !is_text(made.body)) {
    return wrong("http.json_text needs a text field as http.body or http.result");
  }
  return {};
}

// Each {a.b} is a text of the response or of the request.
Result<void> check_location(const pb::MethodDescriptor& method, std::string_view location) {
  for (auto open = location.find('{'); open != std::string_view::npos; open = location.find('{')) {
    const auto close = location.find('}', open);
    if (close == std::string_view::npos) return wrong("http.location has a '{' without its '}'");
    const auto name = location.substr(open + 1, close - open - 1);
    auto field = field_path(*method.output_type(), name, "http.location");
    if (!field) field = field_path(*method.input_type(), name, "http.location");
    TRY(field);
    if (!is_text(field->back()))
      return wrong("http.location needs text, and " + quoted(name) + " is none");
    location.remove_prefix(close + 1);
  }
  return {};
}

Result<void> read_answer_part(const pb::MethodDescriptor& method,
                              const OperationOptions::Http& declared, HttpBinding& made) {
  made.answer = answer_of(declared.answer());
  made.location = declared.location();
  made.only = declared.only();
  const auto& response = *method.output_type();
  if (!declared.result().empty()) {
    made.result = response.FindFieldByName(declared.result());
    if (!made.result) {
      return wrong("http.result " + quoted(declared.result()) + " is no field of " +
                   std::string(response.full_name()));
    }
  }
  if (made.only && !(made.result && made.result->is_repeated())) {
    return wrong("http.only needs a repeated http.result");
  }
  if (made.answer == HttpAnswer::kRaw && !is_text(made.result)) {
    return wrong("a RAW answer needs a text or bytes field as http.result");
  }
  if (made.location.empty() != (made.answer != HttpAnswer::kCreated)) {
    return wrong("http.location goes with CREATED, and only with it");
  }
  return check_location(method, made.location);
}

}  // namespace

Result<HttpBinding> HttpBinding::from(const pb::MethodDescriptor& method,
                                      const OperationOptions::Http& declared) {
  static constexpr std::array<std::string_view, 5> kMethods = {"GET", "POST", "PUT", "PATCH",
                                                               "DELETE"};
  HttpBinding made;
  made.method = declared.method();
  made.path = declared.path();
  if (std::ranges::find(kMethods, made.method) == kMethods.end()) {
    return wrong("http.method " + quoted(made.method) + " is not GET, POST, PUT, PATCH or DELETE");
  }
  TRY_SET(made.steps, steps_of(*method.input_type(), made.path));
  TRY(read_request_part(*method.input_type(), declared, made));
  TRY(read_answer_part(method, declared, made));
  TRY(read_encodings(declared, made));
  return made;
}

std::string HttpBinding::pattern() const {
  std::string text;
  for (const auto& step : steps) {
    text += '/';
    text += step.kind == HttpStep::Kind::kLiteral ? step.name : "{" + step.name + "}";
  }
  return text.empty() ? "/" : text;
}

}  // namespace capstan::rpc
