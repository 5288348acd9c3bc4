/** Chains that their owners leave to users: Docker's, ufw's. */
export const chainsForUsers: readonly string[] = ["DOCKER-USER", "ufw-user-forward", "ufw6-user-forward"];
/** By which a rule of ours in a table of others is known again. */
export const foreignRuleComment = "pontoon";
