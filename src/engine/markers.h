// Control tokens as the chat template uses them, where a model file says otherwise or nothing. Private to the
// library; `claa tokenize` shows them too.
#pragma once

#include <string>
#include <vector>

#include "template/chat_template.h"
#include "tokenizer/tokenizer.h"

namespace claa {

// The variables with which a prompt is rendered.
TemplateVariables prompt_variables(const TokenizerData& data);

// Some converters write "<|im_end|>" as a normal or a user-defined token. Renders short conversations with
// the file's chat template. Tokens that it writes around the messages and that look like markers get the type
// control, which `warnings` tells in one sentence; the one that follows an answer goes to data.turn_ends.
// Leaves everything as it is where there is no template, or one that cannot be parsed: the request that needs
// it is refused then.
void adopt_markers(TokenizerData& data, std::vector<std::string>& warnings);

}  // namespace claa
