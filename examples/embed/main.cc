// A whole program around the library: embed MODEL.gguf QUESTION [DOCUMENT]
#include <claa/engine.h>

#include <fstream>
#include <iostream>
#include <iterator>

int main(int argc, char** argv) try {
  if (argc != 3 && argc != 4) {
    std::cerr << "usage: embed MODEL.gguf QUESTION [DOCUMENT]\n";
    return 2;
  }
  claa::Engine engine = claa::Engine::load(argv[1]);
  claa::Request request;
  if (argc == 4) {
    std::ifstream document(argv[3], std::ios::binary);
    request.prompt.assign(std::istreambuf_iterator<char>(document), {});
    if (!document) throw claa::Error(claa::ErrorCode::kIo, std::string("cannot read ") + argv[3]);
    request.prompt += "\n\n";
  }
  request.prompt += argv[2];
  request.quality = "balanced";  // for a model without a profile: request.method = "full"
  request.max_tokens = 32;
  request.on_text = [](std::string_view piece) { std::cout << piece << std::flush; };
  const claa::Answer answer = engine.answer(request);
  std::cout << "\n";
  std::cerr << answer.prefill.profile_note << ", kept " << answer.kept_tokens << " of "
            << answer.prompt_tokens << " tokens, first token after " << answer.timings.first_token << " ms\n";
} catch (const claa::Error& error) {
  std::cerr << error.what() << "\n";
  return 2;
}
