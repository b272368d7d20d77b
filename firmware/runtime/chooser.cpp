// See chooser.h.
#include "runtime/chooser.h"

#include "model/model.h"
#include "runtime/grammar.h"
#include "runtime/print.h"
#include "runtime/suppressed.h"

const char* Chooser::start(const int32_t* ids, int32_t count, const Sampling& sampling) {
    ids_ = ids;
    count_ = count;
    if constexpr (model::kFirstSuppressedCount > 0) is_first_ = true;
    how_ = {sampling.temperature,        sampling.top_k,  sampling.top_p,     sampling.min_p,
            sampling.repetition_penalty, sampling.biases, sampling.bias_count};
    random_ = sampling.seed;
    if constexpr (model::kHasGrammar) {
        // A run of a given length is no answer to be read.
        follows_grammar_ = !sampling.past_end && sampling.tokens > 0;
        state_ = 0;
        // The last token is made of the last logits, and not read.
        const int32_t room = model::kMaxTextTokens - count + 1;
        tokens_left_ = sampling.tokens < room ? sampling.tokens : room;
        if (follows_grammar_ && mcu_grammar_shortest() > tokens_left_) {
            print_fact("shortest", static_cast<uint64_t>(mcu_grammar_shortest()));
            return "grammar_needs_tokens";
        }
    }
    return nullptr;
}

int32_t Chooser::next(float* logits) {
    if (model::kHasTokenizer && stops_ != nullptr && stops_->found()) return kNoToken;
    if constexpr (model::kSuppressedCount > 0) suppress(logits, model::kSuppressedIds, model::kSuppressedCount);
    if constexpr (model::kFirstSuppressedCount > 0) {
        if (is_first_) suppress(logits, model::kFirstSuppressedIds, model::kFirstSuppressedCount);
        is_first_ = false;
    }
    if constexpr (model::kHasGrammar) {
        if (follows_grammar_ && mcu_grammar_bar(logits, state_, tokens_left_) == 0) return kNoToken;
    }
    const int32_t token = mcu_choose(logits, model::kVocabSize, &how_, ids_, count_, &random_);
    ++count_;
    if constexpr (model::kHasGrammar) {
        state_ = mcu_grammar_after(state_, token);
        --tokens_left_;
    }
    return token;
}
