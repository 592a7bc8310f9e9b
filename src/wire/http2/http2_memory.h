// Why this file exists: what nghttp2 takes memory for is of two kinds.
//
// For every stream and frame it takes a few small blocks and frees them again. With many calls
// under way that is more than malloc keeps at hand for a thread, and was a tenth of a call's cost;
// so freed ones are shelved here by their size and handed out again.
//
// Of the memory that a connection takes once, most is two blocks that
// an idle connection has no use for: the table of its streams, which is all zeros without streams,
// and the buffer in which frames are made, which is empty between two writes. nghttp2 has no way to
// give them back, but it lets us allocate: both lie in pages of their own here, and give_back()
// returns what these pages hold to the system. They come back as zeros when they are touched.
//
// Which block is which is seen from how nghttp2 1.52 asks for them while it makes a session. A
// version that asks otherwise gets ordinary memory, and nothing is given back.
// Thread-safety: none. Outlives the session that was made with it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace capstan::wire {

class Http2Memory {
 public:
  Http2Memory();
  ~Http2Memory();
  Http2Memory(const Http2Memory&) = delete;
  Http2Memory& operator=(const Http2Memory&) = delete;

  // The session is made: what it asks for from now on comes from the shelves, or is ordinary
  // memory.
  void made() { making_ = false; }
  // Also empties the shelves. `writing`: a frame may be half in the buffer.
  void give_back(bool writing);

  // nghttp2's malloc, calloc, realloc and free (Http2Callbacks::allocator()).
  void* allocate(std::size_t bytes);
  void* allocate_zeros(std::size_t count, std::size_t bytes);
  void* resize(void* memory, std::size_t bytes);
  void release(void* memory);

 private:
  struct Part {
    std::uint8_t* at = nullptr;
    std::size_t bytes = 0;  // whole pages
    std::size_t used = 0;   // 0: by nobody
  };
  // A freed block, by what malloc really gave for it: 24, 40, 56 … bytes.
  struct Shelved {
    Shelved* next;
  };
  static constexpr std::size_t kShelves = 20;
  static constexpr std::uint8_t kShelfMax = 128;  // blocks of a size
  // What a connection of a few calls frees is for others.
  static constexpr std::uint32_t kBusyReleases = 64;

  bool take(Part& part, std::size_t bytes);
  Part* part_of(const void* memory);
  void* unshelve(std::size_t bytes);
  bool shelve(void* memory);
  void empty_shelves();

  void* block_ = nullptr;
  Part streams_, frames_;
  std::array<Shelved*, kShelves> shelves_{};
  std::array<std::uint8_t, kShelves> shelved_{};
  std::uint32_t releases_ = 0;  // since the shelves were emptied
  bool making_ = true;
};

}  // namespace capstan::wire
