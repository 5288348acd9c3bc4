import { Option } from "commander";
import { optional, readerOf, record } from "../../common/shape.js";
import {
  choicesToAsk,
  ofEachPublishOption,
  publicationOptions,
  publishOptionNames,
  shapeOfOption,
  type OptionKind,
  type PublishOptionName,
  type PublishOptions,
} from "../../proxy/publication/options.js";
import { addressOption, countOption, networkOption, secondsOption, someSecondsOption } from "./options.js";

/** The flags of `pontoon publish` that take a value. */
export function publishOptions(): Option[] {
  return [
    new Option("--ip <address>", "address of this host, for specs that name none").argParser(addressOption),
    ...publishOptionNames.map((name) => withValues(optionOf(name), publicationOptions[name])),
  ];
}

/** What was chosen with them. @param flags as commander gives them */
export function askedOptions(flags: Readonly<Record<string, unknown>>): PublishOptions {
  const given = publishOptionNames.map((name) => [name, flags[optionOf(name).attributeName()]] as const);
  const options = readOptions(Object.fromEntries(given.filter(([, value]) => value !== undefined)));
  if (options === undefined)
    throw new TypeError("an option of `pontoon publish` has another kind of value than its own");
  return options;
}

const readOptions = readerOf<PublishOptions>(record(ofEachPublishOption((option) => optional(shapeOfOption(option)))));

function optionOf(name: PublishOptionName): Option {
  const { flag, help } = publicationOptions[name].publish;
  return new Option(flag, help);
}

function withValues(flag: Option, option: OptionKind): Option {
  switch (option.kind) {
    case "time":
      return flag.argParser(option.mayBeZero ? secondsOption : someSecondsOption);
    case "count":
      return flag.argParser(countOption);
    case "choice":
      return flag.choices(choicesToAsk(option));
    case "networks":
      return flag.argParser(networkOption);
  }
}
