// Why this file exists: see http1_response.h.
#include "wire/http1/http1_response.h"

#include <algorithm>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/fields.hpp>
#include <boost/beast/http/parser.hpp>
#include <cctype>
#include <ranges>

#include "base/limits.h"
#include "wire/http1/beast_put.h"
#include "wire/http1/http1_request.h"

namespace capstan::wire {

namespace http = boost::beast::http;

namespace {

constexpr int kInterimAnswers = 8;

void append_value(std::string_view value, std::string& out) {
  if (value.find('\r') == value.npos && value.find('\n') == value.npos) {
    out.append(value);
    return;
  }
  for (const char byte : value) out += byte == '\r' || byte == '\n' ? ' ' : byte;
}

}  // namespace

void http1_append_status(unsigned status, std::string& out) {
  if (status == 200) return void(out += "HTTP/1.1 200 OK\r\n");
  out += "HTTP/1.1 " + std::to_string(status) + " ";
  out.append(http1_reason(status)).append("\r\n");
}

void http1_append_header(std::string_view name, std::string_view value, std::string& out) {
  out.append(name).append(": ");
  append_value(value, out);
  out += "\r\n";
}

void http1_append_head(unsigned status, const Http1Headers& headers, std::string& out) {
  http1_append_status(status, out);
  for (const auto& [name, value] : headers) http1_append_header(name, value, out);
  out += "\r\n";
}

struct Http1ResponseParser::Parser {
  Parser() {
    beast.header_limit(limits::kHttp1HeaderBytes);
    beast.body_limit(boost::none);  // the body is not its business
  }
  http::response_parser<http::empty_body> beast;
  int interim = 0;
};

std::optional<std::string_view> Http1Response::last(std::string_view name) const {
  for (const auto& [key, value] : std::views::reverse(headers)) {
    if (key == name) return value;
  }
  return std::nullopt;
}

Http1ResponseParser::Http1ResponseParser(bool to_head)
    : parser_(std::make_unique<Parser>()), to_head_(to_head) {}

Http1ResponseParser::~Http1ResponseParser() = default;

Result<bool> Http1ResponseParser::add(ByteView bytes) {
  buffer_.append(as_text(bytes));
  while (true) {
    TRY_SET(const bool complete, parse());
    if (!complete) return false;
    const bool interim = response_.status / 100 == 1 && response_.status != 101;
    if (!interim) return true;
    const int count = parser_->interim + 1;
    if (count > kInterimAnswers) {
      return fail(Code::kResourceExhausted, "the server sends interim answers without end");
    }
    buffer_.erase(0, used_);
    used_ = 0;
    parser_ = std::make_unique<Parser>();
    parser_->interim = count;
  }
}

Result<bool> Http1ResponseParser::parse() {
  auto& beast = parser_->beast;
  boost::system::error_code error;
  while (!beast.is_header_done()) {
    TRY_SET(const std::size_t taken,
            beast_put(beast, std::string_view(buffer_).substr(used_), error, "the answer"));
    used_ += taken;
    const bool more = error == http::error::need_more;
    if ((more && buffer_.size() > limits::kHttp1HeaderBytes) ||
        error == http::error::header_limit) {
      return fail(Code::kResourceExhausted, "the headers of the answer are larger than " +
                                                std::to_string(limits::kHttp1HeaderBytes) +
                                                " bytes");
    }
    if (more) return false;
    if (error) return fail(Code::kInternal, "the answer is not HTTP/1: " + error.message());
  }
  const auto& from = beast.get();
  response_ = {};
  response_.status = from.result_int();
  response_.http10 = from.version() < 11;
  response_.keep_alive = from.keep_alive();
  for (const auto& field : from) {
    if (response_.headers.size() == limits::kHttp1Headers) {
      return fail(Code::kResourceExhausted, "the answer has too many headers");
    }
    auto& [name, value] = response_.headers.emplace_back(
        std::string(field.name_string().data(), field.name_string().size()),
        std::string(field.value().data(), field.value().size()));
    std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
  }
  return true;
}

Result<Http1Framing> Http1ResponseParser::framing() const {
  const unsigned status = response_.status;
  if (to_head_ || status / 100 == 1 || status == 204 || status == 304) return Http1Framing{};
  if (const auto encoding = response_.last("transfer-encoding")) {
    return http1_transfer_encoding(*encoding);
  }
  const auto length = response_.last("content-length");
  if (length) return http1_content_length(*length);
  return Http1Framing{Http1Framing::Kind::kUntilClose, 0};
}

}  // namespace capstan::wire
