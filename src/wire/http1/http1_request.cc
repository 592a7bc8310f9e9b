// Why this file exists: see http1_request.h. The only file that includes Beast's parser.
#include "wire/http1/http1_request.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/fields.hpp>
#include <boost/beast/http/parser.hpp>
#include <cctype>

#include "base/limits.h"

namespace capstan::wire {

namespace http = boost::beast::http;

struct Http1RequestParser::Parser {
  http::request_parser<http::empty_body> beast;
};

std::string Http1Request::header(std::string_view name) const {
  std::string all;
  for (const auto& [key, value] : headers) {
    if (key != name) continue;
    if (!all.empty()) all += ", ";
    all += value;
  }
  return all;
}

std::string_view Http1Request::path() const {
  return std::string_view(target).substr(0, target.find('?'));
}

Http1RequestParser::Http1RequestParser() : parser_(std::make_unique<Parser>()) {
  parser_->beast.header_limit(limits::kHttp1HeadBytes);
}

Http1RequestParser::~Http1RequestParser() = default;

namespace {

std::string text_of(boost::beast::string_view from) {
  return std::string(from.data(), from.size());
}

Result<Http1Request> read(http::request<http::empty_body>& from) {
  Http1Request request;
  request.method = text_of(from.method_string());
  request.target = text_of(from.target());
  request.http10 = from.version() < 11;
  request.keep_alive = from.keep_alive();
  for (const auto& field : from) {
    if (request.headers.size() == limits::kHttp1Headers) {
      return fail(Code::kResourceExhausted,
                  "request has more than " + std::to_string(limits::kHttp1Headers) + " headers");
    }
    auto& [name, value] =
        request.headers.emplace_back(text_of(field.name_string()), text_of(field.value()));
    std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
  }
  return request;
}

}  // namespace

Result<bool> Http1RequestParser::add(ByteView bytes) {
  const auto too_large = [] {
    return fail(Code::kResourceExhausted, "request headers are larger than the limit of " +
                                              std::to_string(limits::kHttp1HeadBytes) + " bytes");
  };
  auto& beast = parser_->beast;
  buffer_.append(as_text(bytes));
  boost::system::error_code error;
  while (!beast.is_header_done()) {
    const std::size_t taken =
        beast.put(boost::asio::const_buffer(buffer_.data() + used_, buffer_.size() - used_), error);
    used_ += taken;
    if (error == http::error::need_more) {
      if (buffer_.size() > limits::kHttp1HeadBytes) return too_large();
      return false;
    }
    if (error == http::error::header_limit) return too_large();
    if (error) return fail(Code::kInvalidArgument, "not an HTTP/1 request: " + error.message());
  }
  TRY_SET(request_, read(beast.get()));
  return true;
}

std::string_view http1_reason(unsigned status) {
  switch (status) {
    case 101: return "Switching Protocols";
    case 200: return "OK";
    case 400: return "Bad Request";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 426: return "Upgrade Required";
    case 431: return "Request Header Fields Too Large";
    case 503: return "Service Unavailable";
    case 505: return "HTTP Version Not Supported";
    default: return "Error";
  }
}

std::string http1_answer(unsigned status, std::string_view body, std::string_view headers,
                         bool head_only) {
  std::string text = "HTTP/1.1 " + std::to_string(status) + " ";
  text.append(http1_reason(status)).append("\r\n").append(headers);
  if (!body.empty()) text += "content-type: text/plain; charset=utf-8\r\n";
  text += "content-length: " + std::to_string(body.size()) + "\r\nconnection: close\r\n\r\n";
  if (!head_only) text.append(body);
  return text;
}

}  // namespace capstan::wire
