// Calls functions of a library of kernels for a process that cannot load it: one for another processor, or one that is
// checked at every access.
//
//   driver LIBRARY < calls > answers
//
// A call is a line of words, and bytes: the function's name, its arguments (each a number, or *N for a pointer to N
// bytes), and what all the pointers point to. An answer is the 8 bytes of what the function returned, and the bytes
// that the pointers point to then. Each has memory of its own, of its own size, so that a sanitizer sees what reaches
// past it.

#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>

#include <iostream>
#include <sstream>
#include <string>
#include <vector>

struct Buffer {
  char* bytes;
  int64_t size;
};

// On x86-64 and aarch64 an argument takes a whole word, whether it is an int, an int64_t or a pointer, and a function
// does not see those that it does not take.
using Word = int64_t;
using Function = int (*)(Word, Word, Word, Word, Word, Word, Word, Word, Word, Word, Word, Word, Word, Word, Word, Word,
                         Word, Word, Word, Word, Word, Word, Word, Word);

// Do one call; whether there was such a function.
static bool answer(void* library, const std::string& line) {
  std::istringstream call(line);
  std::string name, word;
  call >> name;
  const Function function = reinterpret_cast<Function>(dlsym(library, name.c_str()));
  if (!function) {
    std::cerr << dlerror() << '\n';
    return false;
  }
  Word a[24] = {};
  std::vector<Buffer> buffers;
  for (int i = 0; call >> word; i++) {
    if (word[0] == '*') {
      const int64_t size = std::stoll(word.substr(1));
      buffers.push_back({static_cast<char*>(malloc(size)), size});
      std::cin.read(buffers.back().bytes, size);
      a[i] = reinterpret_cast<Word>(buffers.back().bytes);
    } else {
      a[i] = std::stoll(word);
    }
  }
  const int64_t status = function(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9], a[10], a[11], a[12],
                                  a[13], a[14], a[15], a[16], a[17], a[18], a[19], a[20], a[21], a[22], a[23]);
  std::cout.write(reinterpret_cast<const char*>(&status), sizeof status);
  for (const Buffer& buffer : buffers) {
    std::cout.write(buffer.bytes, buffer.size);
    free(buffer.bytes);
  }
  std::cout.flush();
  return true;
}

int main(int count, char** words) {
  if (count != 2) return 2;
  void* library = dlopen(words[1], RTLD_NOW);
  if (!library) {
    std::cerr << dlerror() << '\n';
    return 1;
  }
  std::string line;
  while (std::getline(std::cin, line)) {
    if (!answer(library, line)) return 1;
  }
  return 0;
}
