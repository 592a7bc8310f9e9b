// Why this file exists: bitcode against upstream's bytes (tests/vectors/bitcode.txt) and against
// itself: what is encoded decodes to the same value, for shapes around every threshold.
#include "base/bitcode_codec.h"

#include <gtest/gtest.h>

#include <deque>
#include <fstream>
#include <random>
#include <sstream>

#include "base/limits.h"
#include "capstan_test_paths.h"

namespace capstan::bitcode {
namespace {

using Strings = std::vector<std::string>;

std::string piece(const std::string& token) {
  if (token == ".") return "";
  const auto star = token.find('*');
  const std::string head = token.substr(0, star);
  const std::size_t count = star == std::string::npos ? 1 : std::stoul(token.substr(star + 1));
  std::string out;
  if (head.starts_with("seq")) {
    const std::size_t modulus = head == "seq" ? 256 : 251;
    for (std::size_t i = 0; i < count; ++i) out.push_back(static_cast<char>(i % modulus));
    return out;
  }
  std::string once;
  for (std::size_t i = 0; i + 1 < head.size(); i += 2) {
    once.push_back(static_cast<char>(std::stoul(head.substr(i, 2), nullptr, 16)));
  }
  for (std::size_t i = 0; i < count; ++i) out += once;
  return out;
}

std::pair<std::string, std::string> pair_of(const std::string& token) {
  const auto colon = token.find(':');
  return {piece(token.substr(0, colon)), piece(token.substr(colon + 1))};
}

// The bytes that `tokens` of `kind` encode to.
std::string encoded(const std::string& kind, const Strings& tokens) {
  std::string out;
  Encoder encoder(out);
  std::deque<std::string> owned;
  const auto own = [&](std::string text) { return as_bytes(owned.emplace_back(std::move(text))); };
  std::vector<ByteView> views;
  std::vector<std::optional<ByteView>> optionals;
  std::vector<Entry> entries;
  std::vector<std::uint64_t> numbers;
  for (const auto& token : tokens) {
    if (kind == "keys" || kind == "key") views.push_back(own(piece(token)));
    if (kind.starts_with("optional")) {
      optionals.push_back(token == "-" ? std::nullopt : std::optional(own(piece(token))));
    }
    if (kind == "entries" || kind == "write") {
      auto [key, value] = pair_of(token);
      entries.push_back({own(std::move(key)), own(std::move(value))});
    }
    if (kind.starts_with("number") || kind == "flag") numbers.push_back(std::stoull(token));
  }
  if (kind == "write") encoder.value(entries[0].key), encoder.value(entries[0].value);
  if (kind == "key") encoder.value(views[0]);
  if (kind == "keys") encoder.list(views);
  if (kind == "entries") encoder.entries(entries);
  if (kind == "number") encoder.value(numbers[0]);
  if (kind == "numbers") encoder.numbers(numbers);
  if (kind == "flag") encoder.value(numbers[0] != 0);
  if (kind == "optional") encoder.optional(optionals[0]);
  if (kind == "optionals") encoder.optionals(optionals);
  if (kind == "error") {
    const auto colon = tokens[0].find(':');
    encode(CodedError{static_cast<CodedError::Kind>(std::stoi(tokens[0].substr(0, colon))),
                      piece(tokens[0].substr(colon + 1))},
           out);
  }
  return out;
}

template <class T>
Result<std::string> again(Decoder& decoder, const Result<T>& decoded,
                          void (*put)(Encoder&, const T&)) {
  if (!decoded) return std::unexpected(decoded.error());
  TRY(decoder.finish());
  std::string out;
  Encoder encoder(out);
  put(encoder, *decoded);
  return out;
}

// Decodes and encodes again, which gives the canonical bytes of what was decoded.
Result<std::string> canonical(const std::string& kind, ByteView bytes, std::size_t count = 1) {
  Decoder decoder(bytes);
  const auto go = [&]<class T>(const Result<T>& decoded, void (*put)(Encoder&, const T&)) {
    return again(decoder, decoded, put);
  };
  if (kind == "write") {
    TRY_SET(const ByteView key, decoder.value());
    TRY_SET(const ByteView value, decoder.value());
    TRY(decoder.finish());
    std::string out;
    Encoder encoder(out);
    encoder.value(key), encoder.value(value);
    return out;
  }
  if (kind == "key") return go(decoder.value(), +[](Encoder& e, const ByteView& v) { e.value(v); });
  if (kind == "keys") {
    return go(decoder.list(), +[](Encoder& e, const std::vector<ByteView>& v) { e.list(v); });
  }
  if (kind == "entries") {
    return go(decoder.entries(), +[](Encoder& e, const std::vector<Entry>& v) { e.entries(v); });
  }
  if (kind == "number") {
    return go(decoder.number(), +[](Encoder& e, const std::uint64_t& v) { e.value(v); });
  }
  if (kind == "numbers") {
    return go(
        decoder.numbers(count),
        +[](Encoder& e, const std::vector<std::uint64_t>& v) { e.numbers(v); });
  }
  if (kind == "flag") return go(decoder.flag(), +[](Encoder& e, const bool& v) { e.value(v); });
  if (kind == "optional") {
    return go(
        decoder.optional(), +[](Encoder& e, const std::optional<ByteView>& v) { e.optional(v); });
  }
  if (kind == "optionals") {
    using List = std::vector<std::optional<ByteView>>;
    return go(decoder.optionals(), +[](Encoder& e, const List& v) { e.optionals(v); });
  }
  TRY_SET(const auto error, decode_error(bytes));
  std::string out;
  encode(error, out);
  return out;
}

TEST(Bitcode, Vectors) {
  std::ifstream file(CAPSTAN_SOURCE_DIR "/tests/vectors/bitcode.txt");
  ASSERT_TRUE(file);
  std::string line;
  std::size_t exact = 0, accepted = 0, rejected = 0;
  while (std::getline(file, line)) {
    if (line.empty() || line[0] == '#') continue;
    std::istringstream words(line);
    std::string kind, word, bytes;
    Strings tokens;
    words >> kind;
    while (words >> word && word != "=" && word != "<" && word != "!") tokens.push_back(word);
    const std::string relation = word;
    while (words >> word) bytes += piece(word);
    SCOPED_TRACE(line.substr(0, 120));
    const auto got = canonical(kind, as_bytes(bytes), tokens.size());
    if (relation == "!") {
      ++rejected;
      EXPECT_FALSE(got);
      continue;
    }
    ASSERT_TRUE(got) << got.error().text();
    EXPECT_EQ(*got, encoded(kind, tokens));
    if (relation == "=") {
      ++exact;
      EXPECT_EQ(encoded(kind, tokens), bytes);
      for (std::size_t cut = 0; cut < std::min<std::size_t>(bytes.size(), 400); ++cut) {
        EXPECT_FALSE(canonical(kind, as_bytes(bytes).first(cut), tokens.size())) << cut;
      }
      if (kind != "numbers") {
        EXPECT_FALSE(canonical(kind, as_bytes(bytes + '\0'))) << "trailing byte";
      }
    } else {
      ++accepted;
    }
  }
  EXPECT_GE(exact, 60U);
  EXPECT_GE(accepted, 19U);
  EXPECT_GE(rejected, 20U);
}

TEST(Bitcode, RandomValuesComeBack) {
  std::mt19937_64 random(7);
  const auto below = [&](std::uint64_t end) { return random() % end; };
  const std::size_t sizes[] = {0, 1, 2, 3, 5, 6, 7, 17, 254, 255, 256, 300};
  const unsigned spans[] = {1, 2, 3, 4, 6, 16, 17, 256};
  for (int round = 0; round < 3000; ++round) {
    std::deque<std::string> owned;
    std::vector<std::optional<ByteView>> items;
    for (std::size_t i = below(9); i > 0; --i) {
      std::string text(sizes[below(std::size(sizes))], '\0');
      const unsigned span = spans[below(std::size(spans))];
      const unsigned least = static_cast<unsigned>(below(257 - span));
      for (char& c : text) c = static_cast<char>(least + below(span));
      items.push_back(below(4) == 0 ? std::nullopt
                                    : std::optional(as_bytes(owned.emplace_back(text))));
    }
    std::string bytes;
    Encoder(bytes).optionals(items);
    Decoder decoder(as_bytes(bytes));
    const auto got = decoder.optionals();
    ASSERT_TRUE(got) << got.error().text();
    ASSERT_TRUE(decoder.finish());
    ASSERT_EQ(got->size(), items.size());
    for (std::size_t i = 0; i < items.size(); ++i) {
      ASSERT_EQ((*got)[i].has_value(), items[i].has_value());
      if (items[i]) ASSERT_EQ(as_text(*(*got)[i]), as_text(*items[i]));
    }
  }
}

TEST(Bitcode, RandomNumbersComeBack) {
  std::mt19937_64 random(11);
  for (int round = 0; round < 3000; ++round) {
    std::vector<std::uint64_t> values(1 + random() % 40);
    const unsigned base_bits = random() % 64, span_bits = random() % 64;
    for (auto& value : values) value = (random() >> base_bits) / 2 + (random() >> span_bits) / 2;
    std::string bytes;
    Encoder(bytes).numbers(values);
    Decoder decoder(as_bytes(bytes));
    const auto got = decoder.numbers(values.size());
    ASSERT_TRUE(got);
    ASSERT_TRUE(decoder.finish());
    ASSERT_EQ(*got, values);
  }
}

TEST(Bitcode, SmallInputCannotAskForMuchMemory) {
  // 2 GiB of zeros, said in ten bytes: the packed form would need 256 MiB of input.
  std::string bytes("\xFF\x02\x00\x00\x00\x80\x0A", 7);
  Decoder decoder(as_bytes(bytes));
  const auto got = decoder.value();
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().message, "EOF");
  // More items than the limit, all backed by input (base 2: eight to a byte).
  std::string many;
  Encoder encoder(many);
  encoder.lengths(std::vector<std::size_t>{limits::kBitcodeListItems + 1});
  many += '\x0A' + std::string(limits::kBitcodeListItems / 8 + 1, '\0');
  Decoder list(as_bytes(many));
  const auto items = list.list();
  ASSERT_FALSE(items);
  EXPECT_EQ(items.error().code, Code::kResourceExhausted);
}

TEST(Bitcode, SumOfLengths) {
  // Two lengths that overflow 64 bits together, and two that are just too much.
  for (const std::string& hex : {std::string("\x02\xFF\xFF\x00", 4)}) {
    std::string overflow = hex + std::string(16, '\xFF');
    Decoder decoder(as_bytes(overflow));
    const auto got = decoder.list();
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().message, "length overflow");
  }
}

}  // namespace
}  // namespace capstan::bitcode
