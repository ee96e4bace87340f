#include "model/spec.h"

namespace claa {

WeightKind kind_of(Role role) {
  switch (role) {
    case Role::kEmbedding:
    case Role::kOutput:
    case Role::kQuery:
    case Role::kKeyValue:
    case Role::kAttentionOutput:
    case Role::kGateUp:
    case Role::kDown:
    case Role::kRouter:
    case Role::kOutputGate:
    case Role::kDeltaInput:
    case Role::kDeltaGate:
    case Role::kDeltaRates:
    case Role::kTokenInputs:
    case Role::kInputProjection:
    case Role::kInputGate:
    case Role::kInputOutput:
    case Role::kSharedGate:
    case Role::kSharedGateUp:
    case Role::kSharedDown:
      return WeightKind::kMatrix;
    case Role::kExpertGateUp:
    case Role::kExpertDown:
      return WeightKind::kExperts;
    case Role::kQueryBias:
    case Role::kKeyValueBias:
    case Role::kSinks:
    case Role::kAttentionOutputBias:
    case Role::kRouterBias:
    case Role::kExpertGateUpBias:
    case Role::kExpertDownBias:
    case Role::kDeltaDecay:
    case Role::kDeltaStep:
      return WeightKind::kBias;
    case Role::kFinalNorm:
    case Role::kAttentionNorm:
    case Role::kQueryNorm:
    case Role::kKeyNorm:
    case Role::kValueNorm:
    case Role::kAttentionPostNorm:
    case Role::kFfnNorm:
    case Role::kDensePostNorm:
    case Role::kRouterNorm:
    case Role::kExpertNorm:
    case Role::kExpertPostNorm:
    case Role::kFfnPostNorm:
    case Role::kDeltaConvolution:
    case Role::kDeltaNorm:
    case Role::kInputNorm:
    case Role::kInputPostNorm:
    case Role::kLayerScale:
      return WeightKind::kNorm;
  }
  return WeightKind::kNorm;
}

bool in_attention_half(Role role) {
  return role >= Role::kAttentionNorm && role < Role::kFfnNorm;
}

bool is_read_by_matrices(Role norm) {
  return norm == Role::kAttentionNorm || norm == Role::kFfnNorm || norm == Role::kRouterNorm ||
         norm == Role::kExpertNorm;
}

bool reads(Role matrix, Role norm) {
  if (norm == Role::kFfnNorm)
    return matrix == Role::kGateUp || matrix == Role::kRouter || matrix == Role::kExpertGateUp ||
           matrix == Role::kSharedGate || matrix == Role::kSharedGateUp;
  if (norm == Role::kRouterNorm) return matrix == Role::kRouter;
  if (norm == Role::kExpertNorm) return matrix == Role::kExpertGateUp;
  if (norm != Role::kAttentionNorm) return false;
  return matrix == Role::kQuery || matrix == Role::kKeyValue || matrix == Role::kOutputGate ||
         matrix == Role::kDeltaInput || matrix == Role::kDeltaGate || matrix == Role::kDeltaRates;
}

}  // namespace claa
