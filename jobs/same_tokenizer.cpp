#include "jobs/same_tokenizer.hpp"

#include "base/digest.hpp"
#include "base/error.hpp"

namespace troupe {

void require_same_tokenizer(const io::experience& e, const std::filesystem::path& file, const io::tokenizer& tokens,
                            const std::filesystem::path& folder) {
  if (const std::string here = digest_text(tokens.digest());
      !e.tokenizer_digest.empty() && e.tokenizer_digest != here) {
    throw error(errc::bad_argument,
                "{}: its tokens are of another tokenizer ({}) than that of {} ({}): name a folder with the tokenizer "
                "that wrote them",
                file.string(), e.tokenizer_digest, folder.string(), here);
  }
}

}  // namespace troupe
