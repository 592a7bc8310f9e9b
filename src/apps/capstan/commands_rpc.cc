// Why this file exists: the `capstan rpc` commands: any operation by any of its names over any
// wire, and by path as Octez's client does it (http-rpc section 14): over HTTP any path, with the
// answer as it comes (path_call.h); over other wires paths are names, too, which say what operation
// is called with what.
#include "apps/capstan/binary_text.h"
#include "apps/capstan/catalogue.h"
#include "apps/capstan/commands.h"
#include "apps/capstan/image_files.h"
#include "apps/capstan/path_call.h"
#include "apps/capstan/service_tree.h"
#include "apps/capstan/session.h"
#include "apps/capstan/type_text.h"
#include "base/limits.h"
#include "core/os_stdio.h"
#include "rpc/describe.h"
#include "rpc/describe_tree.h"
#include "rpc/json_reader.h"
#include "rpc/media.h"
#include "rpc/schema.h"
#include "wire/rest/operation_call.h"

namespace capstan::apps {
namespace {

using rpc::Message;
using Messages = std::vector<std::unique_ptr<Message>>;

constexpr std::size_t kReadBytes = 64U << 10;

Result<std::unique_ptr<Message>> read_request(const rpc::Directory::Entry& entry,
                                              std::string_view text) {
  rpc::JsonReader reader;
  rpc::JsonReadOptions options;
  options.bytes = rpc::JsonStyle::Bytes::kHex;
  auto message = entry.new_request();
  auto read = reader.read(text, *message, options);
  if (read) return message;
  return std::unexpected(std::move(read).error().within(
      "read the request " + std::string(entry.operation.method().input_type()->full_name())));
}

// Standard input line by line.
class Lines {
 public:
  // Nothing at the end.
  core::Task<Result<std::optional<std::string>>> next(core::CancelToken token) {
    while (true) {
      const auto end = text_.find('\n', at_);
      if (end != std::string::npos || (ended_ && at_ < text_.size())) {
        std::string line = text_.substr(at_, end == std::string::npos ? end : end - at_);
        at_ = end == std::string::npos ? text_.size() : end + 1;
        if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
        co_return line;
      }
      if (ended_) co_return std::nullopt;
      text_.erase(0, std::exchange(at_, 0));
      if (text_.size() > limits::kJsonBytes) {
        co_return fail(Code::kInvalidArgument, "a line of standard input is longer than " +
                                                   std::to_string(limits::kJsonBytes) + " bytes");
      }
      std::string piece(kReadBytes, '\0');
      const MutableBytes into(reinterpret_cast<std::uint8_t*>(piece.data()), piece.size());
      CO_TRY_SET(const std::size_t got, co_await core::read_standard_input(into, token));
      ended_ = got < piece.size();
      text_.append(piece, 0, got);
    }
  }

 private:
  std::string text_;
  std::size_t at_ = 0;
  bool ended_ = false;
};

// What the answer looks like: the whole message, or what a path's binding makes of it.
using Show = std::function<Result<void>(Printer&, const Message&, bool line)>;

Result<void> show_message(Printer& out, const Message& message, bool line) {
  return out.message(message, line);
}

Show by_path(const wire::rest::Route* route, const std::string& target) {
  return [route, target](Printer& out, const Message& message, bool line) -> Result<void> {
    const auto& binding = route->binding;
    // Over HTTP the node refuses then, in these words.
    if (!line && wire::rest::is_missing(binding, message)) {
      return fatal(Code::kNotFound, "nothing is at " + target);
    }
    const auto* field = binding.result;
    const bool text = field && !field->is_repeated() &&
                      field->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_STRING;
    if (text && (binding.json_text || binding.answer == rpc::HttpAnswer::kRaw)) {
      out.raw(message.GetReflection()->GetString(message, field) + "\n");
      return {};
    }
    if (binding.answer == rpc::HttpAnswer::kNoContent) return {};
    TRY_SET(std::string json, rpc::encode_json(message, route->response, route->style));
    json.pop_back();
    out.line(line ? json : pretty_json(json));
    return {};
  };
}

struct Sending {
  client::RemoteCall* call;
  const rpc::Directory::Entry* entry;
  std::vector<std::string> texts;
  core::CancelToken token;
  Result<void> done;
};

core::Task<Result<void>> send_lines(Sending* sending) {
  Lines lines;
  while (true) {
    CO_TRY_SET(const auto line, co_await lines.next(sending->token));
    if (!line) co_return Result<void>();
    CO_TRY_SET(const auto request, Session::usage(read_request(*sending->entry, *line)));
    if (!co_await sending->call->send(*request)) co_return Result<void>();  // the answer says why
  }
}

core::Task<Result<void>> send_requests(Sending* sending) {
  if (sending->texts.size() == 1 && sending->texts.front() == "-") {
    co_return co_await send_lines(sending);
  }
  for (const auto& text : sending->texts) {
    CO_TRY_SET(const auto request, Session::usage(read_request(*sending->entry, text)));
    if (!co_await sending->call->send(*request)) break;
  }
  co_return Result<void>();
}

core::Task<void> send_all(Sending* sending) {
  sending->done = co_await send_requests(sending);
  if (sending->done) {
    sending->call->finish_sending();
  } else {
    sending->call->cancel(Code::kCancelled);
  }
}

// Every answer until the end.
Done print_answers(Session& session, client::RemoteCall& call, const rpc::Directory::Entry& entry,
                   Show show) {
  const bool endless = entry.operation.kind == rpc::Kind::kEndless;
  const bool stream = entry.operation.method().server_streaming();
  const auto answer = entry.new_response();
  while (true) {
    const auto more = co_await call.next(*answer);
    if (endless && session.token().fired()) co_return Result<void>();  // the usual end
    if (!more) co_return std::unexpected(more.error());
    session.heard();
    if (!*more) co_return Result<void>();
    CO_TRY(show(session.out(), *answer, stream));
    CO_TRY(session.out().flush());
  }
}

Done call_stream(Session& session, const rpc::Directory::Entry& entry, Sending sending, Show show) {
  auto opened = co_await session.remote().open(entry.operation.full_name(), nullptr,
                                               session.without_timeout());
  if (!opened) co_return std::unexpected(std::move(opened).error());
  sending.call = opened->get();
  sending.token = session.token();
  core::Scope scope;
  scope.spawn(send_all(&sending));
  auto printed = co_await print_answers(session, **opened, entry, std::move(show));
  if (!printed) (*opened)->cancel(Code::kCancelled);
  co_await scope.join();
  if (!sending.done) co_return std::move(sending.done);
  co_return printed;
}

Done call_once(Session& session, const rpc::Directory::Entry& entry, const Message& request,
               Show show) {
  if (entry.operation.kind != rpc::Kind::kUnary) {
    auto opened = co_await session.remote().open(entry.operation.full_name(), &request,
                                                 session.without_timeout());
    if (!opened) co_return std::unexpected(std::move(opened).error());
    co_return co_await print_answers(session, **opened, entry, std::move(show));
  }
  const auto answer = entry.new_response();
  const client::CallOptions options = session.within_timeout();
  auto done =
      co_await session.remote().unary(entry.operation.full_name(), request, *answer, options);
  if (!done)
    co_return std::unexpected(session.timed_out(std::move(done).error(), options.deadline));
  session.heard();
  co_return show(session.out(), *answer, false);
}

bool reads_stream(const rpc::Operation& operation) {
  return operation.method().client_streaming();
}

std::string all_names(const rpc::Operation& operation, bool http) {
  node::v1::OperationInfo info;
  rpc::describe(operation, info);
  if (!http) return info.jsonrpc();
  return info.http().empty() ? "POST /rpc/" + operation.full_name() : info.http();
}

std::string drpc_name(const rpc::Operation& operation) {
  if (operation.drpc_module == 0) return {};
  return std::to_string(operation.drpc_module) + "/" + std::to_string(operation.drpc_method);
}

// "with JSON", "JSON", "file:PATH"; nothing is {}.
core::Task<Result<std::string>> body_of(Session& session, const Arguments& arguments) {
  auto words = arguments.list("BODY");
  if (!words.empty() && words.front() == "with") words.erase(words.begin());
  if (words.empty()) co_return std::string("{}");
  if (words.size() > 1) co_return Session::usage_error("the body is one word. Put it in quotes");
  constexpr std::string_view kFile = "file:";
  if (!words.front().starts_with(kFile)) co_return words.front();
  co_return Session::usage(co_await session.env().files().read_file(
      words.front().substr(kFile.size()), limits::kJsonBytes));
}

// What this program knows of a path: a hint, the node may know more.
PathCall http_call_of(const Catalogue& catalogue, std::string method, std::string target) {
  PathCall call;
  if (const auto route = catalogue.route(method, target)) {
    const auto& operation = (*route)->entry->operation;
    const bool bytes = (*route)->binding.answer == rpc::HttpAnswer::kRaw;
    call.stream = operation.method().server_streaming() && !bytes;
    call.raw = bytes;
    call.secret = operation.access == rpc::Access::kData;
    call.repeatable = operation.idempotent;
    if ((*route)->binding.raw_body) call.media = std::nullopt;
  }
  call.method = std::move(method);
  call.target = std::move(target);
  return call;
}

// Only what is written as JSON can be sent as it is given.
bool takes_json(const Session& session) {
  const auto& media = session.way().http.media;
  return std::ranges::find(media, rpc::Media::kJson) != media.end();
}

// For calls over wires on which a path is one more name of an operation.
template <class T>
Result<T> known_path(Result<T> found) {
  if (!found && found.error().code == Code::kNotFound) {
    return no_service(". Over this wire only operations have paths; see: capstan rpc list");
  }
  return Session::usage(std::move(found));
}

// The operation at the path that the user named. Nodes answer other paths over HTTP, too; what
// these look like only the node knows.
Result<const wire::rest::Route*> declared_route(const Session& session, const Catalogue& catalogue,
                                                const Arguments& arguments) {
  const std::string url = arguments.text("URL");
  auto found = catalogue.route(arguments.text("METHOD"), url);
  if (found || found.error().code != Code::kNotFound || !session.over_http()) {
    return known_path(std::move(found));
  }
  const std::string path = (url.starts_with('/') ? "" : "/") + url.substr(0, url.find('?'));
  return fatal(Code::kNotFound, "no operation that this program knows is at " + path +
                                    ". What the node says of the path: capstan rpc get /describe" +
                                    path);
}

Done call_path(Session& session, std::string method, Arguments arguments) {
  CO_TRY_SET(const auto catalogue, Catalogue::make());
  CO_TRY_SET(const std::string target, target_of(arguments.text("URL")));
  std::string body;
  const bool has_body = method != "GET" && method != "DELETE";
  if (has_body) {
    CO_TRY_SET(body, co_await body_of(session, arguments));
  }
  if (session.over_http() && (!has_body || takes_json(session))) {
    PathCall call = http_call_of(*catalogue, method, target);
    if (has_body) call.body = std::move(body);
    co_return co_await call_http(session, std::move(call));
  }
  CO_TRY_SET(const auto call, known_path(catalogue->call(method, target, body)));
  const auto& entry = *call.route->entry;
  if (!reads_stream(entry.operation)) {
    co_return co_await call_once(session, entry, *call.request, by_path(call.route, target));
  }
  co_return Session::usage_error(entry.operation.full_name() +
                                 " takes a stream of requests. Use: capstan rpc call");
}

}  // namespace

Done rpc_call(Session& session, Arguments arguments) {
  CO_TRY_SET(const auto catalogue, Catalogue::make());
  CO_TRY_SET(const auto* operation, Session::usage(catalogue->find(arguments.text("OPERATION"))));
  const auto& entry = catalogue->entry(*operation);
  auto texts = arguments.list("JSON");
  if (reads_stream(*operation)) {
    co_return co_await call_stream(session, entry, {nullptr, &entry, std::move(texts), {}, {}},
                                   show_message);
  }
  if (texts.size() > 1) {
    co_return Session::usage_error(operation->full_name() +
                                   " takes one request. Put the JSON in quotes");
  }
  std::string text = texts.empty() ? "{}" : texts.front();
  if (text == "-") {
    Lines lines;
    CO_TRY_SET(auto line, co_await lines.next(session.token()));
    text = line.value_or("{}");
  }
  CO_TRY_SET(const auto request, Session::usage(read_request(entry, text)));
  co_return co_await call_once(session, entry, *request, show_message);
}

Done rpc_list(Session& session, Arguments arguments) {
  CO_TRY_SET(const std::string target, target_of(arguments.text("URL")));
  const std::string path = target.substr(0, target.find('?'));
  CO_TRY_SET(const auto parsed, Session::usage(wire::rest::parse_target(path)));
  Printer& out = session.out();
  ServiceList list;
  if (session.over_http()) {
    CO_TRY_SET(std::string json,
               co_await http_document(session, "/describe" + path + "?recurse=yes"));
    while (json.ends_with('\n')) json.pop_back();
    if (out.json()) co_return out.line(pretty_json(json)), Result<void>();
    CO_TRY_SET(list, read_description(json));
  } else {
    CO_TRY_SET(const auto operations, co_await session.call<node::v1::DescribeOperationsResponse>(
                                          "capstan.node.v1.NodeRpc/DescribeOperations",
                                          node::v1::DescribeOperationsRequest()));
    if (out.json()) co_return out.message(operations);
    list = list_operations(operations, parsed.segments);
  }
  if (list.services.empty()) co_return no_service();
  out.line(service_text(list, parsed.segments.size()));
  co_return Result<void>();
}

Done rpc_names(Session& session, Arguments arguments) {
  CO_TRY_SET(const auto catalogue, Catalogue::make());
  const std::string prefix = arguments.text("PREFIX");
  node::v1::DescribeOperationsResponse listed;
  std::string text;
  for (const auto* operation : catalogue->operations()) {
    const std::string http = all_names(*operation, true);
    const bool fits = prefix.starts_with('/') ? http.find(" " + prefix) != std::string::npos
                                              : operation->full_name().starts_with(prefix);
    if (!fits) continue;
    rpc::describe(*operation, *listed.add_operations());
    text += operation->full_name() + "  (" + std::string(rpc::kind_name(operation->kind)) + ", " +
            std::string(rpc::access_name(operation->access)) + ")\n" + wrapped("HTTP " + http, 4) +
            "\n";
    for (const auto& [wire, name] :
         {std::pair("JSON-RPC", all_names(*operation, false)),
          std::pair("dRPC", drpc_name(*operation)), std::pair("Muxio", operation->muxio_name)}) {
      if (!name.empty()) text += "    " + std::string(wire) + " " + name + "\n";
    }
  }
  if (session.out().json()) co_return session.out().message(listed);
  if (text.empty()) co_return session.out().remark("No operations found"), Result<void>();
  text.pop_back();
  session.out().line(text);
  co_return Result<void>();
}

Done rpc_describe(Session& session, Arguments arguments) {
  CO_TRY_SET(const auto catalogue, Catalogue::make());
  CO_TRY_SET(const auto* operation, Session::usage(catalogue->find(arguments.text("OPERATION"))));
  const auto request = rpc::BodyShape::whole(*operation->method().input_type());
  const auto response = rpc::BodyShape::whole(*operation->method().output_type());
  Printer& out = session.out();
  if (out.json()) {
    node::v1::OperationInfo info;
    rpc::describe(*operation, info);
    CO_TRY_SET(const std::string names, message_json(info, true));
    out.line(pretty_json(R"({"operation":)" + names + R"(,"request":)" + rpc::json_schema(request) +
                         R"(,"response":)" + rpc::json_schema(response) + "}"));
    co_return Result<void>();
  }
  Table names({"NAME", "VALUE"});
  names.add({"operation", operation->full_name()});
  names.add({"kind", std::string(rpc::kind_name(operation->kind))});
  names.add({"access", std::string(rpc::access_name(operation->access))});
  names.add({"repeatable", operation->idempotent ? "yes" : "no"});
  names.add({"http", all_names(*operation, true)});
  names.add({"json-rpc", operation->jsonrpc_name});
  names.add({"drpc", drpc_name(*operation)});
  names.add({"muxio", operation->muxio_name});
  out.line(names.text(false) + "\nrequest " + std::string(request.type->full_name()) + "\n" +
           shape_text(request) + "\nresponse " + std::string(response.type->full_name()));
  std::string last = shape_text(response);
  last.pop_back();
  out.line(last);
  co_return Result<void>();
}

Done rpc_schema(Session& session, Arguments arguments) {
  CO_TRY_SET(const auto catalogue, Catalogue::make());
  CO_TRY_SET(const auto* route, declared_route(session, *catalogue, arguments));
  const rpc::HttpBinding& binding = route->binding;
  const auto schema = [&](rpc::BodyKind kind, const rpc::BodyShape& shape) {
    return rpc::body_schemas(kind, shape, route->style).json;
  };
  std::string json = "{";
  if (binding.has_body()) {
    json += R"("input":)" + schema(rpc::input_kind(binding), route->request) + ",";
  }
  json += R"("output":)" + schema(rpc::output_kind(binding), route->response) + "}";
  session.out().line(pretty_json(json));
  co_return Result<void>();
}

std::string word_of(rpc::BodyKind kind) {
  switch (kind) {
    case rpc::BodyKind::kAnyJson: return "any JSON";
    case rpc::BodyKind::kBytes: return "bytes";
    default: return "nothing";
  }
}

Done rpc_format(Session& session, Arguments arguments) {
  CO_TRY_SET(const auto catalogue, Catalogue::make());
  CO_TRY_SET(const auto* route, declared_route(session, *catalogue, arguments));
  const bool binary = arguments.on("binary");
  const rpc::HttpBinding& binding = route->binding;
  const auto text = [&](rpc::BodyKind kind, const rpc::BodyShape& shape) -> Result<std::string> {
    if (binary) return binary_text(rpc::body_schemas(kind, shape).binary);
    if (kind != rpc::BodyKind::kMessage) return word_of(kind);
    std::string lines = shape_text(shape);
    lines.pop_back();
    return lines;
  };
  CO_TRY_SET(const std::string output, text(rpc::output_kind(binding), route->response));
  Printer& out = session.out();
  if (binding.has_body()) {
    CO_TRY_SET(const std::string input, text(rpc::input_kind(binding), route->request));
    out.line("Input format:\n" + input + "\n");
  }
  out.line("Output format:\n" + output);
  co_return Result<void>();
}

Done rpc_get(Session& session, Arguments arguments) {
  return call_path(session, "GET", std::move(arguments));
}
Done rpc_delete(Session& session, Arguments arguments) {
  return call_path(session, "DELETE", std::move(arguments));
}
Done rpc_post(Session& session, Arguments arguments) {
  return call_path(session, "POST", std::move(arguments));
}
Done rpc_put(Session& session, Arguments arguments) {
  return call_path(session, "PUT", std::move(arguments));
}
Done rpc_patch(Session& session, Arguments arguments) {
  return call_path(session, "PATCH", std::move(arguments));
}

}  // namespace capstan::apps
