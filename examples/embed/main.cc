// A whole program around the library: embed MODEL.gguf "QUESTION"
#include <claa/engine.h>

#include <iostream>

int main(int argc, char** argv) try {
  if (argc != 3) {
    std::cerr << "usage: embed MODEL.gguf QUESTION\n";
    return 2;
  }
  claa::Engine engine = claa::Engine::load(argv[1]);
  claa::Request request;
  request.prompt = argv[2];
  request.method = "full";  // for a long document: "claa", with request.params["keep"] = "0.2"
  request.max_tokens = 32;
  request.on_text = [](std::string_view piece) { std::cout << piece << std::flush; };
  const claa::Answer answer = engine.answer(request);
  std::cout << "\n";
  std::cerr << "kept " << answer.kept_tokens << " of " << answer.prompt_tokens
            << " tokens, first token after " << answer.timings.first_token << " ms\n";
} catch (const claa::Error& error) {
  std::cerr << error.what() << "\n";
  return 2;
}
