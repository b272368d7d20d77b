// A language model, one token at a time, and the console's side of a conversation with it.
#pragma once

#include <stdint.h>

#include "model/model.h"
#include "runtime/chooser.h"
#include "runtime/digest.h"
#include "runtime/request.h"

static_assert(model::kIsLanguageModel, "this model has no tokens; see runtime/tensor_model.h");

// The model with its memory of what it has read: nothing, or in a chat the turns before. There is one set of buffers:
// making another LanguageModel makes the one before forget, but for what a chat goes on with.
class LanguageModel {
  public:
    LanguageModel();

    // Reads one token and returns the logits for the next: float[model::kVocabSize], valid until the next step; they
    // may be written over. `token` is in [0, kVocabSize), and room() is not 0.
    float* step(int32_t token);

    // Reads `count` tokens, 1 to room(), and returns the logits after the last one: as many steps would, but in chunks
    // of kPrefillRows where the model has a prefill, and one by one what is left. At any time: a chat reads each turn
    // behind the ones before.
    float* read(const int32_t* tokens, int32_t count);

    // Of a model with an encoder (model::kEncoderLength): lets it read `count` token ids, which the answer is about.
    // Before the first step.
    void encode(const int32_t* ids, int32_t count);

    // Of one whose encoder takes tensors (model::kEncoderTensors): lets it take those that lie in
    // model::kEncoderInputs, put there by a host, or written since this LanguageModel was made. Before the first step.
    void encode();

    // How many more tokens it can read: what the KV cache has left or, where that slides, the text.
    int32_t room() const { return (model::kSlides ? end_ : model::kMaxSequenceLength) - position_; }

    // How many it has read since it began, which a cache that slides may have forgotten.
    int32_t position() const { return position_; }

    // Whether `token` says that the text ends here.
    static bool is_end(int32_t token);

    // FNV-1a over the raw bits of the logits of every step, and of every chunk.
    uint64_t digest() const { return digest_.value(); }

    // From the call of a step to its logits, embedding included; 0 where the board cannot count.
    uint64_t instructions_first() const { return instructions_first_; }
    uint64_t instructions_last() const { return instructions_last_; }
    uint64_t instructions_total() const { return instructions_total_; }

    // What encode() took.
    uint64_t instructions_encoder() const { return instructions_encoder_; }

    // How many chunks read() has read, and what it took all together, steps included.
    uint32_t chunks() const { return chunks_; }
    uint64_t instructions_read() const { return instructions_read_; }

  private:
    float* chunk(const int32_t* tokens);
    void add(uint64_t instructions, const float* logits, int32_t tokens);

    int32_t position_ = 0;
    int32_t end_ = 0;  // of what there is room for, where the cache slides
    Digest digest_;
    uint64_t instructions_first_ = 0;
    uint64_t instructions_last_ = 0;
    uint64_t instructions_total_ = 0;
    uint64_t instructions_read_ = 0;
    uint64_t instructions_encoder_ = 0;
    uint32_t chunks_ = 0;
};

// What to continue, and how; of a model with an encoder, what that reads (nothing, where it takes tensors).
struct Prompt {
    const int32_t* ids;  // at least one, at most room(); behind the turns before that the model has read
    int32_t count;
    Sampling sampling;
};

// Waits for a line on the console that asks for text; refuses others with a verdict. False when the input has ended.
// `chooser` is then the one whose tokens are the answer.
bool conversation_next(const Sampling& defaults, Prompt* prompt, Chooser* chooser);

// The same for a program that chooses tokens itself, by temperature and top-k: a request that asks for anything else is
// refused.
bool conversation_next(const Sampling& defaults, Prompt* prompt);

// Prints a generated token (its text; its id where the model has no tokenizer) and remembers its id. Returns whether
// the answer ends with it because of one of the request's stop texts, which is not printed.
bool conversation_token(int32_t token);

// Prints what the answer was made of, and the verdict.
void conversation_end(const LanguageModel& language_model);
