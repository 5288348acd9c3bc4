// Schemas of what may be chosen for a publication, made from its table of options.
import { z } from "zod";
import {
  choicesToAsk,
  ofEachOption,
  ofEachPublishOption,
  type OptionKind,
  type PublicationOptions,
  type PublishOptions,
} from "../../proxy/publication/options.js";

/** Ms. */
const longestTime = 1_000_000_000;
const networksAtMost = 1000;

/** What a request to publish may choose. Whether the values make sense is for `checkPublication` to tell. */
export const chosenOptions = schemaOf<PublishOptions>(ofEachPublishOption(chosen));

/** What is remembered of a published port. */
export const rememberedOptions = schemaOf<PublicationOptions>(ofEachOption(remembered));

/** The table says what type each option has; a schema made in a loop cannot. */
function schemaOf<Options>(fields: Readonly<Record<string, z.ZodType>>): z.ZodType<Options> {
  const optional = Object.entries(fields).map(([name, field]) => [name, field.exactOptional()] as const);
  return z.strictObject(Object.fromEntries(optional)) as unknown as z.ZodType<Options>;
}

function chosen(option: OptionKind): z.ZodType {
  switch (option.kind) {
    case "time":
      return z.number().int().min(0).max(longestTime);
    case "count":
      return z.number().int().min(0);
    case "choice":
      return z.enum(choicesToAsk(option));
    case "networks":
      return z.array(z.string()).max(networksAtMost);
  }
}

function remembered(option: OptionKind): z.ZodType {
  switch (option.kind) {
    case "time":
      return option.mayBeZero ? z.number().nonnegative() : z.number().positive();
    case "count":
      return option.mayBeZero ? z.number().int().nonnegative() : z.number().int().positive();
    case "choice":
      return z.enum(option.choices);
    case "networks":
      return z.array(z.string()).readonly();
  }
}
