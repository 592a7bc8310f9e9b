// Why this file exists: a stream of elements decodes the same however it is cut into chunks.
#include "rpc/element_codec.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "base/bytes.h"

namespace capstan::rpc {
namespace {

using Format = ElementSplitter::Format;
using namespace std::string_view_literals;

std::vector<std::string> split(Format format, std::string_view bytes, std::size_t piece) {
  ElementSplitter splitter(format, 1000);
  std::vector<std::string> found;
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    splitter.add(bytes.substr(at, piece));
    for (;;) {
      const auto element = splitter.next();
      EXPECT_TRUE(element);
      if (!element || !*element) break;
      found.emplace_back(**element);
    }
  }
  EXPECT_TRUE(splitter.complete());
  return found;
}

TEST(ElementSplitter, GivesTheSameForEveryPieceSize) {
  const std::vector<std::string> lines = {"{\"seq\":1}\n", "{\"seq\":2}\n", "[]\n"};
  const std::vector<std::string> documents = {
      std::string("\x05\0\0\0\0", 5), std::string("\x12\0\0\0\1seq\0\0\0\0\0\0\0\xF0?\0", 18)};
  const std::vector<std::string> values = {std::string("\0\0\0\4\0\0\0\1", 8),
                                           std::string("\0\0\0\0", 4)};
  for (const auto& [format, elements] :
       {std::pair(Format::kLines, lines), std::pair(Format::kBsonDocuments, documents),
        std::pair(Format::kLengthPrefixed, values)}) {
    std::string all;
    for (int i = 0; i < 15; ++i) {
      for (const auto& element : elements) all += element;
    }
    const auto whole = split(format, all, all.size());
    EXPECT_EQ(whole.size(), 15 * elements.size());
    EXPECT_EQ(whole[1], elements[1]);
    for (const std::size_t piece : {1U, 2U, 3U, 7U, 64U}) {
      EXPECT_EQ(split(format, all, piece), whole);
    }
  }
}

// Any split of a stream decodes to the same elements: cuts at random places, none of them fair.
TEST(ElementSplitter, AnySplitGivesTheSameElements) {
  std::mt19937 random(21);
  for (const Format format : {Format::kLines, Format::kBsonDocuments, Format::kLengthPrefixed}) {
    for (int round = 0; round < 300; ++round) {
      std::vector<std::string> elements;
      std::string all;
      for (unsigned count = random() % 16; count-- > 0;) {
        std::string body(random() % 40, static_cast<char>('a' + random() % 26));
        std::string element;
        if (format == Format::kLines) {
          element = "\"" + body + "\"\n";
        } else if (format == Format::kBsonDocuments) {
          element.assign(4, '\0');
          store_le(reinterpret_cast<std::uint8_t*>(element.data()),
                   static_cast<std::uint32_t>(body.size() + 5));
          element += body + '\0';
        } else {
          element.assign(4, '\0');
          store_be32(reinterpret_cast<std::uint8_t*>(element.data()),
                     static_cast<std::uint32_t>(body.size()));
          element += body;
        }
        all += element;
        elements.push_back(std::move(element));
      }
      ElementSplitter splitter(format, 1000);
      std::vector<std::string> found;
      for (std::size_t at = 0; at < all.size();) {
        const std::size_t size =
            std::min<std::size_t>(1 + random() % (1U << random() % 8), all.size() - at);
        splitter.add(std::string_view(all).substr(at, size));
        at += size;
        for (;;) {
          const auto element = splitter.next();
          ASSERT_TRUE(element) << element.error().text();
          if (!*element) break;
          found.emplace_back(**element);
        }
      }
      ASSERT_EQ(found, elements) << "round " << round;
      ASSERT_TRUE(splitter.complete());
    }
  }
}

TEST(ElementSplitter, SkipsEmptyLines) {
  EXPECT_EQ(split(Format::kLines, "\n\r\n1\n  \n2\n", 1), (std::vector<std::string>{"1\n", "2\n"}));
}

TEST(ElementSplitter, KnowsWhatIsLeftOver) {
  ElementSplitter splitter(Format::kLengthPrefixed, 1000);
  splitter.add("\0\0\0\4\0\0"sv);
  EXPECT_FALSE(splitter.next().value());
  EXPECT_FALSE(splitter.complete());
  EXPECT_EQ(splitter.buffered(), 6U);
}

TEST(ElementSplitter, RefusesWhatIsTooLongBeforeItHasArrived) {
  for (const auto& [format, bytes] : {std::pair(Format::kLengthPrefixed, "\0\0\x04\0"sv),
                                      std::pair(Format::kBsonDocuments, "\xE9\x03\0\0"sv)}) {
    ElementSplitter splitter(format, 1000);
    splitter.add(bytes);
    for (int i = 0; i < 2; ++i) {
      const auto element = splitter.next();
      ASSERT_FALSE(element);
      EXPECT_EQ(element.error().code, Code::kResourceExhausted);
    }
  }
  ElementSplitter lines(Format::kLines, 10);
  lines.add("01234567890");
  EXPECT_FALSE(lines.next());
  ElementSplitter bson(Format::kBsonDocuments, 1000);
  bson.add("\x04\0\0\0"sv);
  ASSERT_FALSE(bson.next());
  EXPECT_EQ(bson.next().error().code, Code::kInvalidArgument);
}

}  // namespace
}  // namespace capstan::rpc
