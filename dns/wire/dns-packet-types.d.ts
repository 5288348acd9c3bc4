/** Record types by name, which the published declarations leave out. */
declare module "dns-packet/types.js" {
  const types: {
    /** @returns 0 when the name is not known */
    toType(name: string): number;
    toString(type: number): string;
  };
  export default types;
}
