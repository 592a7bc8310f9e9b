// Why this file exists: see http1_request.h. This file and http1_response.cc alone include Beast's
// parser.
#include "wire/http1/http1_request.h"

#include <algorithm>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/fields.hpp>
#include <boost/beast/http/parser.hpp>
#include <cctype>
#include <optional>
#include <ranges>

#include "base/limits.h"
#include "wire/http1/beast_put.h"

namespace capstan::wire {

namespace http = boost::beast::http;

struct Http1RequestParser::Parser {
  std::optional<http::request_parser<http::empty_body>> beast;  // always there
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

bool Http1Request::expects_continue() const {
  return std::ranges::equal(header("expect"), std::string_view("100-continue"), {},
                            [](unsigned char c) { return std::tolower(c); });
}

std::optional<std::string_view> Http1Request::last(std::string_view name) const {
  for (const auto& [key, value] : std::views::reverse(headers)) {
    if (key == name) return value;
  }
  return std::nullopt;
}

Http1RequestParser::Http1RequestParser(const Http1RequestLimits& limits)
    : parser_(std::make_unique<Parser>()), limits_(limits) {
  restart();
}

void Http1RequestParser::restart() {
  auto& beast = parser_->beast.emplace();
  beast.header_limit(static_cast<std::uint32_t>(limits_.head_bytes));
  beast.body_limit(boost::none);  // the body is not its business
  buffer_.clear();
  used_ = checked_ = 0;
  first_line_ = false;
}

Http1RequestParser::~Http1RequestParser() = default;

namespace {

std::string text_of(boost::beast::string_view from) {
  return std::string(from.data(), from.size());
}

std::unexpected<Error> too_many_headers(std::size_t limit) {
  return fail(Code::kResourceExhausted,
              "request has more than " + std::to_string(limit) + " headers");
}

Result<Http1Request> read(http::request<http::empty_body>& from, std::size_t headers) {
  Http1Request request;
  request.method = text_of(from.method_string());
  request.target = text_of(from.target());
  request.http10 = from.version() < 11;
  request.keep_alive = from.keep_alive();
  for (const auto& field : from) {
    if (request.headers.size() == headers) return too_many_headers(headers);
    auto& [name, value] =
        request.headers.emplace_back(text_of(field.name_string()), text_of(field.value()));
    for (char& c : name) {
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
    }
  }
  return request;
}

}  // namespace

// What Beast would let pass, or throw at: long lines, and lines that go on in the next one.
Result<void> Http1RequestParser::check_lines() {
  while (true) {
    const auto end = buffer_.find("\r\n", checked_);
    std::size_t length = std::min(end, buffer_.size()) - checked_;
    // The first half of a line end is no part of the line, wherever the bytes were cut.
    if (end == std::string::npos && length != 0 && buffer_.back() == '\r') --length;
    if (!first_line_ && length > limits_.line_bytes) {
      return fail(Code::kResourceExhausted, "request line is longer than the limit of " +
                                                std::to_string(limits_.line_bytes) + " bytes");
    }
    if (first_line_ && length > kBeastHeaderLineBytes) return header_line_too_long("the request");
    if (end == std::string::npos || end == checked_) return {};
    if (end + 2 == buffer_.size()) return {};  // what follows decides
    const char next = buffer_[end + 2];
    if (next == ' ' || next == '\t') {
      return fail(Code::kInvalidArgument, "not an HTTP/1 request: a header goes on in a new line");
    }
    first_line_ = true;
    checked_ = end + 2;
  }
}

Result<bool> Http1RequestParser::add(ByteView bytes) {
  const auto too_large = [this] {
    return fail(Code::kResourceExhausted, "request headers are larger than the limit of " +
                                              std::to_string(limits_.head_bytes) + " bytes");
  };
  auto& beast = *parser_->beast;
  buffer_.append(as_text(bytes));
  // Clients that count the line end of a form as no part of its length send one too many.
  if (used_ == 0 && buffer_.starts_with("\r\n")) buffer_.erase(0, 2);
  if (buffer_.empty() || buffer_ == "\r") return false;
  TRY(check_lines());
  boost::system::error_code error;
  while (!beast.is_header_done()) {
    TRY_SET(const std::size_t taken,
            beast_put(beast, std::string_view(buffer_).substr(used_), error, "the request"));
    used_ += taken;
    if (error == http::error::need_more) {
      if (buffer_.size() > limits_.head_bytes) return too_large();
      return false;
    }
    if (error == http::error::header_limit) return too_large();
    if (error) return fail(Code::kInvalidArgument, "not an HTTP/1 request: " + error.message());
  }
  // Beast asks for its limit only when a head comes in several pieces.
  if (used_ > limits_.head_bytes) return too_large();
  TRY_SET(request_, read(beast.get(), limits_.headers));
  return true;
}

Result<Http1Framing> http1_request_framing(const Http1Request& request) {
  const auto count = [&](std::string_view name) {
    return std::ranges::count(request.headers, name, &std::pair<std::string, std::string>::first);
  };
  if (count("host") > 1) return fail(Code::kInvalidArgument, "the request names several hosts");
  const auto lengths = count("content-length");
  if (count("transfer-encoding") != 0) {
    if (lengths != 0) {
      return fail(Code::kInvalidArgument,
                  "the request has both content-length and transfer-encoding; send one");
    }
    if (request.http10) {
      return fail(Code::kInvalidArgument, "HTTP/1.0 has no transfer-encoding");
    }
    return http1_transfer_encoding(request.header("transfer-encoding"));
  }
  if (lengths == 0) return Http1Framing{};
  if (lengths > 1) return fail(Code::kInvalidArgument, "the request has several content-lengths");
  return http1_content_length(*request.last("content-length"));
}

std::string_view http1_reason(unsigned status) {
  switch (status) {
    case 100: return "Continue";
    case 101: return "Switching Protocols";
    case 200: return "OK";
    case 201: return "Created";
    case 204: return "No Content";
    case 304: return "Not Modified";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 412: return "Precondition Failed";
    case 413: return "Content Too Large";
    case 415: return "Unsupported Media Type";
    case 416: return "Range Not Satisfiable";
    case 422: return "Unprocessable Content";
    case 426: return "Upgrade Required";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    case 507: return "Insufficient Storage";
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
