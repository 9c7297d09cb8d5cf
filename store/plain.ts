// Rows leave the store as plain objects: an entity means something to its unit of work only.

/** @param entity whose scalar properties are those of `Row`; lazy ones are left out */
export function plain<Row>(entity: object): Row {
  return { ...entity } as Row;
}
