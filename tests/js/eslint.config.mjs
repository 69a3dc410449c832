// What graphql-eslint checks: the schema by its recommended, strict ("all") and Relay rules, and the
// operations that the console ships. Run from the top of the repository. A rule that is switched off
// says why.
import graphql from "@graphql-eslint/eslint-plugin";

const { configs, parser } = graphql;
const languageOptions = {
  parser,
  parserOptions: {
    graphQLConfig: {
      schema: "schema/schema.graphql",
      documents: ["console/operations/**/*.graphql", "console/src/documents/*.graphql"],
    },
  },
};
const plugins = { "@graphql-eslint": graphql };
const rule = (name) => `@graphql-eslint/${name}`;

// Values and roots: two of them with the same content are the same.
const WITHOUT_ID = [
  "Counterparty",
  "Elevation",
  "EventsGap",
  "Freeze", // named by its case: `caseId`
  "KeyUse", // named by the key's number
  "MerchantPay",
  "Money",
  "NoticePreference",
  "PageInfo",
  "PaymentAllowance",
  "PaymentMethod",
  "PaymentStep",
  "PersonalDetails",
  "RecipientPreview",
  "RefundFacts",
  "ResidentWallet",
  "RiskEvidence",
  "SessionTokens",
  "Shop", // the shop's id is that of its `merchant`
  "Staff",
];

export default [
  {
    files: ["schema/schema.graphql"],
    languageOptions,
    plugins,
    rules: {
      ...configs["flat/schema-recommended"].rules,
      ...configs["flat/schema-all"].rules,
      ...configs["flat/schema-relay"].rules,
      // Stricter than the sets: everything is described, not only types.
      [rule("require-description")]: [
        "error",
        {
          types: true,
          rootField: true,
          DirectiveDefinition: true,
          EnumValueDefinition: true,
          FieldDefinition: true,
          InputValueDefinition: true,
        },
      ],
      // Results, errors and the parts of a connection are wrappers, not objects.
      [rule("strict-id-in-types")]: [
        "error",
        {
          acceptedIdNames: ["id"],
          acceptedIdTypes: ["ID"],
          exceptions: {
            types: WITHOUT_ID,
            suffixes: ["Success", "Error", "Event", "Connection", "Edge"],
          },
        },
      ],
      // Short lists with a fixed bound (a payment's steps, an error's path) need no pages. Which
      // lists those are, tests/schema/test_schema.py says.
      [rule("relay-edge-types")]: [
        "error",
        { withEdgeSuffix: true, shouldImplementNode: false, listTypeCanWrapOnlyEdgeType: false },
      ],
      // Fields stand in the order in which they are read; the alphabet would tear them apart.
      [rule("alphabetize")]: "off",
      // This API changes things and streams.
      [rule("no-root-type")]: "off",
      // A refused mutation is data, a member of its result union: a null would say nothing.
      [rule("require-nullable-result-in-root")]: "off",
    },
  },
  {
    files: ["console/**/*.graphql"],
    languageOptions,
    plugins,
    rules: {
      ...configs["flat/operations-recommended"].rules,
      // A page of a queue lies deep: staff, queue, edges, node, facts.
      [rule("selection-set-depth")]: ["error", { maxDepth: 8 }],
    },
  },
];
