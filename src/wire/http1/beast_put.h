// Why this file exists: bytes for a Boost.Beast parser of heads. Beast keeps the lengths of a
// header's name and value in 16 bits and throws at what is longer; a peer must not be able to end
// the process with that. Inside wire/http1 only.
#pragma once

#include <boost/asio/buffer.hpp>
#include <boost/system/error_code.hpp>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>

#include "base/result.h"

namespace capstan::wire {

// The longest line of a header whose name and value Beast can hold: it adds two to each.
inline constexpr std::size_t kBeastHeaderLineBytes = 65533;

inline std::unexpected<Error> header_line_too_long(std::string_view whose) {
  return fail(Code::kResourceExhausted, std::string(whose) +
                                            " has a header that is longer than the limit of " +
                                            std::to_string(kBeastHeaderLineBytes) + " bytes");
}

// As the parser's put(); `whose` head it is, for the error.
template <class Parser>
Result<std::size_t> beast_put(Parser& parser, std::string_view bytes,
                              boost::system::error_code& error, std::string_view whose) {
  try {
    return parser.put(boost::asio::const_buffer(bytes.data(), bytes.size()), error);
  } catch (const std::length_error&) {
    return header_line_too_long(whose);
  }
}

}  // namespace capstan::wire
